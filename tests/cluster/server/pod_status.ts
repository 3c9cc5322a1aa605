/** A pod's status at each point of its life, field by field as recorded from a real kubelet. */
import { now, type Obj } from "./json.ts";

const IMAGE_ID = "sha256:c5aa07ede63f0c1a566690569c41e7a9abef24fb302832395dfbcfc3103985a0";
export const NODE_NAME = "localhost";
export const NODE_IP = "192.0.2.10";

/** What of a pod's sandbox shows in its status. */
export interface Container {
  readonly podIP: string;
  readonly containerID: string;
  /** RFC 3339. */
  startedAt: string;
}

function condition(
  pod: Obj,
  type: string,
  status: string,
  since: string,
  reason?: string,
  message?: string,
): Obj {
  return {
    type,
    observedGeneration: pod.metadata.generation,
    status,
    lastProbeTime: null,
    lastTransitionTime: since,
    ...(reason ? { reason } : {}),
    ...(message ? { message } : {}),
  };
}

export function scheduled(pod: Obj): Obj {
  return {
    ...pod,
    spec: { ...pod.spec, nodeName: NODE_NAME },
    status: {
      phase: "Pending",
      conditions: [{
        type: "PodScheduled",
        status: "True",
        lastProbeTime: null,
        lastTransitionTime: now(),
      }],
      qosClass: "BestEffort",
    },
  };
}

function mounts(container: Obj): Obj[] {
  return (container.volumeMounts ?? []).map((mount: Obj) => ({
    name: mount.name,
    mountPath: mount.mountPath,
    readOnly: mount.readOnly ?? false,
    recursiveReadOnly: "Disabled",
  }));
}

export function creating(pod: Obj, since: string, sandbox: boolean): Obj {
  const names = pod.spec.containers.map((one: Obj) => one.name).join(" ");
  const unready = ["ContainersNotReady", `containers with unready status: [${names}]`] as const;
  return {
    ...pod,
    status: {
      observedGeneration: pod.metadata.generation,
      phase: "Pending",
      conditions: [
        condition(pod, "PodReadyToStartContainers", sandbox ? "True" : "False", now()),
        condition(pod, "Initialized", "True", since),
        condition(pod, "Ready", "False", since, ...unready),
        condition(pod, "ContainersReady", "False", since, ...unready),
        condition(pod, "PodScheduled", "True", since),
      ],
      hostIP: NODE_IP,
      hostIPs: [{ ip: NODE_IP }],
      startTime: since,
      containerStatuses: pod.spec.containers.map((one: Obj) => ({
        name: one.name,
        state: { waiting: { reason: "ContainerCreating" } },
        lastState: {},
        ready: false,
        restartCount: 0,
        image: one.image,
        imageID: "",
        started: false,
        volumeMounts: mounts(one),
      })),
      qosClass: "BestEffort",
      resources: {},
    },
  };
}

export function running(pod: Obj, sandbox: Container, since: string, ready: boolean): Obj {
  const names = pod.spec.containers.map((one: Obj) => one.name).join(" ");
  const unready = ready
    ? []
    : ["ContainersNotReady", `containers with unready status: [${names}]`] as const;
  const word = ready ? "True" : "False";
  return {
    ...pod,
    status: {
      observedGeneration: pod.metadata.generation,
      phase: "Running",
      conditions: [
        condition(pod, "PodReadyToStartContainers", "True", sandbox.startedAt),
        condition(pod, "Initialized", "True", since),
        condition(pod, "Ready", word, now(), ...unready),
        condition(pod, "ContainersReady", word, now(), ...unready),
        condition(pod, "PodScheduled", "True", since),
      ],
      hostIP: NODE_IP,
      hostIPs: [{ ip: NODE_IP }],
      podIP: sandbox.podIP,
      podIPs: [{ ip: sandbox.podIP }],
      startTime: since,
      containerStatuses: pod.spec.containers.map((one: Obj) => ({
        name: one.name,
        state: { running: { startedAt: sandbox.startedAt } },
        lastState: {},
        ready,
        restartCount: 0,
        image: one.image,
        imageID: IMAGE_ID,
        containerID: sandbox.containerID,
        started: true,
        resources: {},
        volumeMounts: mounts(one),
        user: { linux: { uid: 0, gid: 0, supplementalGroups: [0] } },
      })),
      qosClass: "BestEffort",
      resources: {},
    },
  };
}

/** The kubelet's first word on a deletion: it has seen the new generation. */
export function observed(pod: Obj): Obj {
  const generation = pod.metadata.generation;
  return {
    ...pod,
    status: {
      ...pod.status,
      observedGeneration: generation,
      conditions: (pod.status.conditions ?? []).map((one: Obj) => ({
        ...one,
        observedGeneration: generation,
      })),
    },
  };
}

export function terminated(pod: Obj, sandbox: Container, exitCode: number): Obj {
  const phase = exitCode === 0 ? "Succeeded" : "Failed";
  const reason = exitCode === 0 ? "PodCompleted" : "PodFailed";
  const at = now();
  const old: Obj[] = pod.status.conditions ?? [];
  return {
    ...pod,
    status: {
      ...pod.status,
      phase,
      conditions: old.map((one) =>
        one.type === "Initialized" || one.type === "PodScheduled" ? one : condition(
          pod,
          one.type,
          "False",
          at,
          one.type === "PodReadyToStartContainers" ? undefined : reason,
        )
      ),
      containerStatuses: (pod.status.containerStatuses ?? []).map((one: Obj) => ({
        ...one,
        state: {
          terminated: {
            exitCode,
            reason: exitCode === 0 ? "Completed" : "Error",
            startedAt: sandbox.startedAt,
            finishedAt: at,
            containerID: sandbox.containerID,
          },
        },
        ready: false,
        started: false,
      })),
    },
  };
}
