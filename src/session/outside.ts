import { randomBytes } from "node:crypto";
import type { Clock } from "../model/clock.ts";
import type { ClusterService } from "../model/service.ts";
import { nameIsAnswered, resolvesTo } from "../platform/dns.ts";
import type { PlanOptions } from "./plan.ts";

/** All questions together may take this long, in ms; what is not answered by then is not known. */
const DEADLINE_MS = 1_000;
/** A resolver that has not answered the first question by then is not there, in ms: as in many containers. */
const FIRST_ANSWER_MS = 300;
/** Questions under way at once. */
const AT_ONCE = 32;

/** What leads somewhere outside already, and is not to be shadowed. */
export interface OutsideNames {
  /** The names that were asked for and lead somewhere, with the reason. */
  readonly found: ReadonlyMap<string, string>;
  /** Why a short name in `namespace` is to be left out; undefined when it may go in. */
  reasonFor(name: string, namespace: string): string | undefined;
}

/**
 * Asks for the bare and two-label names that already lead somewhere outside (a
 * namespace called `dev` or `app` is also a public domain, and so may a Service
 * be above its pods), once, when the session opens. What could not be asked
 * then (a Service that came later, a pod, no answer in time) is left out where
 * the name's ending is such a domain: else a cluster would only have to wait
 * before it names a Service `google`. Names the user insists on are neither
 * asked nor left out. Where a search domain answers for any name at all, that
 * answer says nothing about one.
 */
export async function outsideNames(
  services: Iterable<ClusterService>,
  options: PlanOptions,
  clock: Clock,
  signal: AbortSignal,
  lookup: typeof resolvesTo = resolvesTo,
): Promise<OutsideNames> {
  const found = new Map<string, string>();
  const free = new Set<string>();
  const publicOnes = new Set<string>();
  const ownOnes = new Set<string>();
  let somebody = false;
  const names: OutsideNames = {
    found,
    reasonFor: (name, namespace) => {
      if (options.take.includes(name)) return undefined;
      const reason = found.get(name);
      if (reason !== undefined || free.has(name) || !name.includes(".")) return reason;
      const ending = name.slice(name.lastIndexOf(".") + 1);
      if (publicOnes.has(ending)) {
        return `.${ending} is a public domain; insist with --take ${name}`;
      }
      return somebody && ending !== namespace && !ownOnes.has(ending)
        ? `.${ending} may be a public domain; insist with --take ${name}`
        : undefined;
    },
  };
  if (options.domain !== undefined) return names;
  const all = [...services];
  const deadline = new AbortController();
  const cancel = clock.after(DEADLINE_MS, () => deadline.abort());
  const until = AbortSignal.any([signal, deadline.signal]);
  try {
    const namespaces = [...new Set(all.map((service) => service.namespace))];
    somebody = await somebodyAnswers(namespaces[0], clock, until);
    if (!somebody) return names;
    const bare = all.filter((service) =>
      options.bareNames && service.namespace === options.ownNamespace
    );
    const abovePods = bare.filter((service) => service.kind === "headless");
    const endings = new Set([...namespaces, ...abovePods.map((service) => service.name)]);
    await eachOf([...endings], until, async (ending) => {
      if (await lookup(`${ending}.`, "NS", until) !== undefined) publicOnes.add(ending);
      else if (!until.aborted) ownOnes.add(ending);
    });
    const toAnything = bare.length === 0 ? [] : await answersToAnything(lookup, until);
    const questions = bare.map((service) => service.name);
    for (const service of all) {
      if (publicOnes.has(service.namespace)) questions.push(`${service.name}.${service.namespace}`);
    }
    for (const service of abovePods) {
      if (!publicOnes.has(service.name)) continue;
      questions.push(...hostnamesOf(service).map((hostname) => `${hostname}.${service.name}`));
    }
    await eachOf(questions, until, async (name) => {
      if (options.take.includes(name)) return;
      const address = await lookup(name.includes(".") ? `${name}.` : name, "A", until);
      const ofAnything = !name.includes(".") && toAnything.includes(address);
      if (address !== undefined && !address.startsWith("127.") && !ofAnything) {
        found.set(name, `it leads to ${address} outside; insist with --take ${name}`);
      } else if (!until.aborted) free.add(name);
    });
  } finally {
    cancel();
  }
  signal.throwIfAborted();
  return names;
}

/** Where names lead that nobody can have given: a wildcard of a search domain. */
async function answersToAnything(
  lookup: typeof resolvesTo,
  signal: AbortSignal,
): Promise<readonly (string | undefined)[]> {
  const names = [0, 1].map(() => `czctl-${randomBytes(6).toString("hex")}`);
  const found = await Promise.all(names.map((name) => lookup(name, "A", signal)));
  return found.filter((address) => address !== undefined);
}

function hostnamesOf({ endpoints }: ClusterService): string[] {
  return [...new Set(endpoints.flatMap(({ hostname }) => hostname ?? []))];
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
