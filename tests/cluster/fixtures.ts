/** Objects to start a test cluster with. */
import type { Obj } from "./server/json.ts";

export type { Obj } from "./server/json.ts";

const labels = (name: string) => ({ app: name });

export interface WorkloadOptions {
  readonly replicas?: number;
  /** `PROGRAM=PORT[?option=value]`, see server/programs.ts. */
  readonly programs: readonly string[];
  /** Container ports by name. */
  readonly ports?: Readonly<Record<string, number>>;
  readonly env?: readonly Obj[];
  readonly envFrom?: readonly Obj[];
  readonly resources?: Obj;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly graceSeconds?: number;
  readonly strategy?: Obj;
}

function template(name: string, options: WorkloadOptions): Obj {
  return {
    metadata: {
      labels: labels(name),
      ...(options.annotations ? { annotations: options.annotations } : {}),
    },
    spec: {
      terminationGracePeriodSeconds: options.graceSeconds ?? 1,
      containers: [{
        name,
        image: `registry.example/${name}:1`,
        args: options.programs,
        ports: Object.entries(options.ports ?? {}).map(([port, number]) => ({
          name: port,
          containerPort: number,
        })),
        ...(options.env ? { env: options.env } : {}),
        ...(options.envFrom ? { envFrom: options.envFrom } : {}),
        ...(options.resources ? { resources: options.resources } : {}),
      }],
    },
  };
}

export function deployment(namespace: string, name: string, options: WorkloadOptions): Obj {
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name, namespace, labels: labels(name) },
    spec: {
      replicas: options.replicas ?? 1,
      selector: { matchLabels: labels(name) },
      template: template(name, options),
      ...(options.strategy ? { strategy: options.strategy } : {}),
    },
  };
}

export function statefulSet(
  namespace: string,
  name: string,
  service: string,
  options: WorkloadOptions,
): Obj {
  return {
    apiVersion: "apps/v1",
    kind: "StatefulSet",
    metadata: { name, namespace, labels: labels(name) },
    spec: {
      replicas: options.replicas ?? 1,
      serviceName: service,
      selector: { matchLabels: labels(name) },
      template: template(name, options),
    },
  };
}

export function daemonSet(namespace: string, name: string, options: WorkloadOptions): Obj {
  return {
    apiVersion: "apps/v1",
    kind: "DaemonSet",
    metadata: { name, namespace, labels: labels(name) },
    spec: { selector: { matchLabels: labels(name) }, template: template(name, options) },
  };
}

export function job(namespace: string, name: string, options: WorkloadOptions): Obj {
  const { metadata, spec } = template(name, options);
  return {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: { name, namespace, labels: labels(name) },
    spec: {
      selector: { matchLabels: labels(name) },
      template: { metadata, spec: { ...spec, restartPolicy: "Never" } },
    },
  };
}

export function cronJob(namespace: string, name: string, options: WorkloadOptions): Obj {
  const { spec } = job(namespace, name, options);
  return {
    apiVersion: "batch/v1",
    kind: "CronJob",
    metadata: { name, namespace, labels: labels(name) },
    spec: { schedule: "*/5 * * * *", jobTemplate: { spec } },
  };
}

/** A Service over the pods labelled `app=TARGET`. */
export function service(
  namespace: string,
  name: string,
  target: string | undefined,
  ports: readonly Obj[],
  more: Obj = {},
): Obj {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace },
    spec: { ...(target === undefined ? {} : { selector: labels(target) }), ports, ...more },
  };
}

export function configMap(namespace: string, name: string, data: Record<string, string>): Obj {
  return { apiVersion: "v1", kind: "ConfigMap", metadata: { name, namespace }, data };
}

export function secret(namespace: string, name: string, data: Record<string, string>): Obj {
  return { apiVersion: "v1", kind: "Secret", metadata: { name, namespace }, stringData: data };
}

export const GUIDE_NAMESPACE = "sample-project";

/** The six services of the guide: sites, an API, a WebSocket server, a TCP echo, a database. */
export function guide(): Obj[] {
  const ns = GUIDE_NAMESPACE;
  const address = (name: string, port: number) => `${ns}-${name}:${port}`;
  return [
    configMap(ns, "core-config", {
      LOG_LEVEL: "info",
      SAMPLE1_KEY: "VALUE1",
      MULTI: "line1\nline2",
      TRICKY: 'it\'s "quoted" $HOME `id`',
    }),
    configMap(ns, "feature-flags", { "beta.json": '{"beta":true}' }),
    secret(ns, "core-secret", { DB_USER: "sample", DB_PASSWORD: "p@ss'word" }),
    deployment(ns, "web", {
      programs: ["http=8080"],
      ports: { http: 8080 },
      resources: { limits: { cpu: "500m", memory: "128Mi" }, requests: { cpu: "250m" } },
      envFrom: [
        { configMapRef: { name: "core-config" } },
        { secretRef: { name: "core-secret" }, prefix: "SECRET_" },
        { configMapRef: { name: "not-there", optional: true } },
      ],
      env: [
        { name: "SERVER_URL", value: `http://${address("server", 3000)}` },
        { name: "SOCKETS_URL", value: `ws://${address("sockets", 3010)}` },
        {
          name: "DATABASE_URL",
          value: `redis://$(DB_USER):$(DB_PASSWORD)@${address("database", 6379)}`,
        },
        { name: "GREETING", value: "hi $(SAMPLE1_KEY) $$(NOT_EXPANDED) $(UNKNOWN)" },
        { name: "DB_USER", valueFrom: { secretKeyRef: { name: "core-secret", key: "DB_USER" } } },
        {
          name: "DB_PASSWORD",
          valueFrom: { secretKeyRef: { name: "core-secret", key: "DB_PASSWORD" } },
        },
        {
          name: "FLAGS",
          valueFrom: { configMapKeyRef: { name: "feature-flags", key: "beta.json" } },
        },
        { name: "POD_NAME", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
        { name: "POD_NAMESPACE", valueFrom: { fieldRef: { fieldPath: "metadata.namespace" } } },
        { name: "POD_IP", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } },
        {
          name: "MEMORY_LIMIT",
          valueFrom: { resourceFieldRef: { containerName: "web", resource: "limits.memory" } },
        },
        {
          name: "CPU_LIMIT",
          valueFrom: { resourceFieldRef: { resource: "limits.cpu", divisor: "1m" } },
        },
      ],
    }),
    service(ns, `${ns}-web`, "web", [{ name: "http", port: 80, targetPort: "http" }]),
    deployment(ns, "sockets", { programs: ["websocket=3010"], ports: { ws: 3010 } }),
    service(ns, `${ns}-sockets`, "sockets", [{ name: "ws", port: 3010, targetPort: "ws" }]),
    deployment(ns, "server", { programs: ["http=3000"], ports: { http: 3000 }, replicas: 2 }),
    service(ns, `${ns}-server`, "server", [{ name: "http", port: 3000, targetPort: "http" }]),
    deployment(ns, "sails", { programs: ["http=1337"], ports: { http: 1337 } }),
    service(ns, `${ns}-sails`, "sails", [{ name: "http", port: 1337 }]),
    deployment(ns, "echo", {
      programs: ["echo=8081", "source=8082", "sink=8083", "reset=8084"],
      ports: { echo: 8081, source: 8082, sink: 8083, reset: 8084 },
    }),
    service(ns, `${ns}-echo`, "echo", [
      { name: "echo", port: 8081, targetPort: "echo" },
      { name: "source", port: 8082, targetPort: "source" },
      { name: "sink", port: 8083, targetPort: "sink" },
      { name: "reset", port: 8084, targetPort: "reset" },
    ]),
    statefulSet(ns, "database", `${ns}-database`, {
      programs: ["redis=6379"],
      ports: { redis: 6379 },
    }),
    service(ns, `${ns}-database`, "database", [{ name: "redis", port: 6379 }]),
  ];
}

/**
 * A big cluster in one namespace: pods spread over Deployments, one Service
 * each with two ports. Use with `lazyPods`, so that no process stands behind
 * a pod before somebody connects.
 */
export function scale(options: { services: number; pods: number; namespace?: string }): Obj[] {
  const namespace = options.namespace ?? "scale";
  const replicas = Math.max(1, Math.round(options.pods / options.services));
  return Array.from({ length: options.services }, (_, i) => {
    const name = `app-${String(i).padStart(4, "0")}`;
    return [
      deployment(namespace, name, {
        programs: ["http=8080", "echo=8081"],
        ports: { http: 8080, echo: 8081 },
        replicas,
      }),
      service(namespace, name, name, [
        { name: "http", port: 80, targetPort: "http" },
        { name: "echo", port: 8081, targetPort: "echo" },
      ]),
    ];
  }).flat();
}
