import { now, type Obj, suffix } from "./json.ts";
import type { Resource } from "./resources.ts";

/** Defaulting a real API server does on write, as far as clients see it (shapes: recordings). */
export function applyDefaults(resource: Resource, object: Obj, clusterIP: () => string): Obj {
  const { kind: _k, apiVersion: _a, ...rest } = structuredClone(object);
  const metadata = { ...rest.metadata };
  metadata.creationTimestamp ??= now();
  if (metadata.name === undefined && metadata.generateName !== undefined) {
    metadata.name = metadata.generateName + suffix();
  }
  const result: Obj = { ...rest, metadata };
  switch (resource.kind) {
    case "Namespace":
      metadata.labels = { ...metadata.labels, "kubernetes.io/metadata.name": metadata.name };
      result.spec ??= { finalizers: ["kubernetes"] };
      result.status ??= { phase: "Active" };
      break;
    case "Secret":
      if (result.stringData) {
        result.data = { ...result.data };
        for (const [key, value] of Object.entries(result.stringData)) {
          result.data[key] = btoa(unescape(encodeURIComponent(String(value))));
        }
        delete result.stringData;
      }
      result.type ??= "Opaque";
      break;
    case "Service":
      result.spec = service(result.spec ?? {}, clusterIP);
      result.status ??= { loadBalancer: {} };
      break;
    case "Pod":
      result.spec = podSpec(result.spec ?? {}, true);
      metadata.generation ??= 1;
      result.status ??= { phase: "Pending", qosClass: "BestEffort" };
      break;
    case "Deployment":
      metadata.generation ??= 1;
      result.spec = {
        replicas: 1,
        ...result.spec,
        template: template(result.spec.template),
        strategy: strategy(result.spec.strategy),
        revisionHistoryLimit: result.spec.revisionHistoryLimit ?? 10,
        progressDeadlineSeconds: result.spec.progressDeadlineSeconds ?? 600,
      };
      result.status ??= {};
      break;
    case "ReplicaSet":
      metadata.generation ??= 1;
      result.spec = { replicas: 1, ...result.spec, template: template(result.spec.template) };
      result.status ??= { replicas: 0 };
      break;
    case "StatefulSet":
      metadata.generation ??= 1;
      result.spec = {
        replicas: 1,
        ...result.spec,
        template: template(result.spec.template),
        podManagementPolicy: result.spec.podManagementPolicy ?? "OrderedReady",
        updateStrategy: result.spec.updateStrategy ??
          { type: "RollingUpdate", rollingUpdate: { partition: 0 } },
        revisionHistoryLimit: 10,
        persistentVolumeClaimRetentionPolicy: { whenDeleted: "Retain", whenScaled: "Retain" },
      };
      result.status ??= { replicas: 0 };
      break;
    case "DaemonSet":
      metadata.generation ??= 1;
      result.spec = {
        ...result.spec,
        template: template(result.spec.template),
        updateStrategy: result.spec.updateStrategy ??
          { type: "RollingUpdate", rollingUpdate: { maxUnavailable: 1, maxSurge: 0 } },
        revisionHistoryLimit: 10,
      };
      result.status ??= {
        currentNumberScheduled: 0,
        numberMisscheduled: 0,
        desiredNumberScheduled: 0,
        numberReady: 0,
      };
      break;
    case "Job":
      metadata.generation ??= 1;
      result.spec = {
        parallelism: 1,
        completions: 1,
        backoffLimit: 6,
        ...result.spec,
        template: template(result.spec.template, "Never"),
        completionMode: "NonIndexed",
        suspend: result.spec.suspend ?? false,
      };
      result.status ??= {};
      break;
    case "CronJob":
      metadata.generation ??= 1;
      result.spec = {
        concurrencyPolicy: "Allow",
        suspend: false,
        successfulJobsHistoryLimit: 3,
        failedJobsHistoryLimit: 1,
        ...result.spec,
      };
      result.status ??= {};
      break;
    default:
  }
  return result;
}

function service(spec: Obj, clusterIP: () => string): Obj {
  const { ports, selector, clusterIP: asked, ...rest } = spec;
  const defaulted = {
    ...(ports === undefined ? {} : {
      ports: ports.map((port: Obj) => ({
        ...(port.name === undefined ? {} : { name: port.name }),
        protocol: port.protocol ?? "TCP",
        ...(port.appProtocol === undefined ? {} : { appProtocol: port.appProtocol }),
        port: port.port,
        targetPort: port.targetPort ?? port.port,
        ...(port.nodePort === undefined ? {} : { nodePort: port.nodePort }),
      })),
    }),
    ...(selector === undefined ? {} : { selector }),
  };
  if (spec.type === "ExternalName") {
    return { ...defaulted, type: "ExternalName", sessionAffinity: "None", ...rest };
  }
  const address = asked === undefined || asked === "" ? clusterIP() : asked;
  return {
    ...defaulted,
    clusterIP: address,
    clusterIPs: spec.clusterIPs ?? [address],
    type: "ClusterIP",
    sessionAffinity: "None",
    ...(spec.sessionAffinity === "ClientIP" && !spec.sessionAffinityConfig
      ? { sessionAffinityConfig: { clientIP: { timeoutSeconds: 10_800 } } }
      : {}),
    ipFamilies: ["IPv4"],
    ipFamilyPolicy: "SingleStack",
    internalTrafficPolicy: "Cluster",
    ...rest,
  };
}

function strategy(given: Obj | undefined): Obj {
  if (given?.type === "Recreate") return { type: "Recreate" };
  return {
    type: "RollingUpdate",
    rollingUpdate: { maxUnavailable: "25%", maxSurge: "25%", ...given?.rollingUpdate },
  };
}

function template(given: Obj, restartPolicy = "Always"): Obj {
  return { ...given, spec: podSpec({ restartPolicy, ...given.spec }, false) };
}

function container(given: Obj): Obj {
  const { name, image, command, args, ports, envFrom, env, ...rest } = given;
  return {
    name,
    image: image ?? "docker.io/local/srv:1",
    ...(command ? { command } : {}),
    ...(args ? { args } : {}),
    ...(ports
      ? { ports: ports.map((port: Obj) => ({ ...port, protocol: port.protocol ?? "TCP" })) }
      : {}),
    ...(envFrom ? { envFrom } : {}),
    ...(env
      ? {
        env: env.map((one: Obj) => {
          const from = one.valueFrom?.fieldRef;
          if (!from || from.apiVersion) return one;
          return { ...one, valueFrom: { fieldRef: { apiVersion: "v1", ...from } } };
        }),
      }
      : {}),
    resources: {},
    terminationMessagePath: "/dev/termination-log",
    terminationMessagePolicy: "File",
    imagePullPolicy: "IfNotPresent",
    ...rest,
  };
}

function podSpec(spec: Obj, pod: boolean): Obj {
  const token = `kube-api-access-${suffix()}`;
  const mount = {
    name: token,
    readOnly: true,
    mountPath: "/var/run/secrets/kubernetes.io/serviceaccount",
  };
  const already = spec.volumes !== undefined;
  const containers = (list: Obj[]) =>
    list.map(container).map((one) =>
      pod && !already ? { ...one, volumeMounts: [...(one.volumeMounts ?? []), mount] } : one
    );
  const { volumes, initContainers, containers: given, ...rest } = spec;
  const base = {
    ...(already
      ? { volumes }
      : pod
      ? { volumes: [{ name: token, projected: { sources: [], defaultMode: 420 } }] }
      : {}),
    ...(initContainers ? { initContainers: containers(initContainers) } : {}),
    containers: containers(given ?? []),
    restartPolicy: "Always",
    terminationGracePeriodSeconds: 30,
    dnsPolicy: "ClusterFirst",
    ...(pod ? { serviceAccountName: "default", serviceAccount: "default" } : {}),
    securityContext: {},
    schedulerName: "default-scheduler",
    ...(pod
      ? { priority: 0, enableServiceLinks: true, preemptionPolicy: "PreemptLowerPriority" }
      : {}),
  };
  return { ...base, ...rest };
}
