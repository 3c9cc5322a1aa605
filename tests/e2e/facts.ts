/** What programs in the sandbox see, in the few ways several tests ask for it. */
import assert from "node:assert/strict";
import type { ServiceInfo, SessionInfo, StatusInfo } from "../../src/model/control.ts";
import type { Obj } from "../cluster/mod.ts";
import { type Sandbox, until } from "./sandbox.ts";
import type { Scene } from "./scene.ts";

/** The address a name leads to, as the C library says; undefined when it leads nowhere. */
export async function addressOf(box: Sandbox, name: string): Promise<string | undefined> {
  const { code, stdout } = await box.run(["getent", "ahostsv4", name]);
  return code === 0 ? stdout.split(/\s/)[0] : undefined;
}

/** What an `http` pod answers; the empty string when there is no answer. */
export async function get(box: Sandbox, url: string, seconds = 15): Promise<string> {
  return (await box.run(["curl", "-s", "-m", String(seconds), url])).stdout;
}

/** Asks until the answer fits. */
export async function untilAnswer(
  box: Sandbox,
  url: string,
  pattern: RegExp,
  ms = 15_000,
): Promise<void> {
  let last = "";
  await until(`${url} answers ${pattern}`, async () => {
    last = await get(box, url, 5);
    return pattern.test(last);
  }, ms).catch((error) => {
    throw new Error(`${error.message}; last answer: ${JSON.stringify(last)}`);
  });
}

/** The sessions that are open. */
export async function sessions(scene: Pick<Scene, "done">): Promise<readonly SessionInfo[]> {
  return JSON.parse((await scene.done("session", "list", "-o", "json")).stdout).sessions;
}

export async function status(scene: Pick<Scene, "done">): Promise<StatusInfo> {
  return JSON.parse((await scene.done("status", "-o", "json")).stdout);
}

/** One Service of the only session. */
export async function serviceInfo(scene: Scene, name: string): Promise<ServiceInfo | undefined> {
  const [session] = await sessions(scene);
  assert.ok(session, "a session is open");
  return session.services.find((one) => one.name === name && one.pod === undefined);
}

/** A pod template with other labels, so that two workloads stand behind one Service. */
export function relabelled(workload: Obj, labels: Record<string, string>): Obj {
  const copy = structuredClone(workload);
  Object.assign(copy.spec.template.metadata.labels, labels);
  return copy;
}

export function namespaceObject(name: string): Obj {
  return { apiVersion: "v1", kind: "Namespace", metadata: { name } };
}
