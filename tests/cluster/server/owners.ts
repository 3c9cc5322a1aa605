import type { Obj } from "./json.ts";
import type { Resource } from "./resources.ts";
import type { Store } from "./store.ts";

/** What controllers need of each other. */
export interface ControllerContext {
  readonly store: Store;
  create(resource: Resource, object: Obj): Obj;
  deletePod(pod: Obj): void;
  /** Objects of a kind a controller owns. */
  owned(resource: Resource, owner: Obj): Obj[];
}

export function ownerReference(kind: string, apiVersion: string, owner: Obj): Obj {
  return {
    apiVersion,
    kind,
    name: owner.metadata.name,
    uid: owner.metadata.uid,
    controller: true,
    blockOwnerDeletion: true,
  };
}

export function isReady(pod: Obj): boolean {
  return (pod.status?.conditions ?? []).some((one: Obj) =>
    one.type === "Ready" && one.status === "True"
  );
}

/** Counts towards replicas: not finished and not being deleted. */
export function isActive(pod: Obj): boolean {
  return !pod.metadata.deletionTimestamp && pod.status?.phase !== "Failed" &&
    pod.status?.phase !== "Succeeded";
}
