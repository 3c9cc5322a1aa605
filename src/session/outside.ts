import type { Clock } from "../model/clock.ts";
import type { ClusterService } from "../model/service.ts";
import { nameIsAnswered, resolvesTo } from "../platform/dns.ts";
import type { PlanOptions } from "./plan.ts";

/** All questions together may take this long, in ms; what is not answered by then counts as free. */
const DEADLINE_MS = 1_000;
/** A resolver that has not answered the first question by then is not there, in ms: as in many containers. */
const FIRST_ANSWER_MS = 300;
/** Questions under way at once. */
const AT_ONCE = 32;

/**
 * The bare and two-label names that already lead somewhere outside (a
 * namespace called `dev` or `app` is also a public domain), with the reason.
 * Asked once, when the session opens. Names the user insists on are not asked.
 */
export async function outsideNames(
  services: Iterable<ClusterService>,
  options: PlanOptions,
  clock: Clock,
  signal: AbortSignal,
): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  if (options.domain !== undefined) return found;
  const all = [...services];
  const deadline = new AbortController();
  const cancel = clock.after(DEADLINE_MS, () => deadline.abort());
  const until = AbortSignal.any([signal, deadline.signal]);
  try {
    const namespaces = [...new Set(all.map((service) => service.namespace))];
    const publicOnes = new Set<string>();
    if (!(await somebodyAnswers(namespaces[0], clock, until))) return found;
    await eachOf(namespaces, until, async (namespace) => {
      if (await resolvesTo(`${namespace}.`, "NS", until) !== undefined) publicOnes.add(namespace);
    });
    const questions: string[] = [];
    for (const service of all) {
      if (publicOnes.has(service.namespace)) questions.push(`${service.name}.${service.namespace}`);
      if (options.bareNames && service.namespace === options.ownNamespace) {
        questions.push(service.name);
      }
    }
    await eachOf(questions, until, async (name) => {
      if (options.take.includes(name)) return;
      const address = await resolvesTo(name.includes(".") ? `${name}.` : name, "A", until);
      if (address !== undefined && !address.startsWith("127.")) {
        found.set(name, `it leads to ${address} outside; insist with --take ${name}`);
      }
    });
  } finally {
    cancel();
  }
  signal.throwIfAborted();
  return found;
}

/** False where there is no resolver to ask, so that opening a session does not wait for one. */
async function somebodyAnswers(
  namespace: string | undefined,
  clock: Clock,
  signal: AbortSignal,
): Promise<boolean> {
  if (namespace === undefined) return false;
  const first = new AbortController();
  const cancel = clock.after(FIRST_ANSWER_MS, () => first.abort());
  try {
    return await nameIsAnswered(`${namespace}.`, AbortSignal.any([signal, first.signal]));
  } finally {
    cancel();
  }
}

async function eachOf<T>(
  items: readonly T[],
  signal: AbortSignal,
  act: (item: T) => Promise<void>,
): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < items.length && !signal.aborted) await act(items[next++]!);
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, items.length) }, worker));
}
