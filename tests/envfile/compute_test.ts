import assert from "node:assert/strict";
import { computeEnvironment, type EnvironmentOptions } from "../../src/envfile/compute.ts";
import type { Container, PodSpec } from "../../src/envfile/kube.ts";
import { CzctlError } from "../../src/model/errors.ts";
import { MemoryObjects, webDeployment, webPod } from "./memory_objects.ts";

const workload = { kind: "deployment", name: "web", namespace: "shop" } as const;

interface Case {
  readonly name: string;
  /** Where Kubernetes says so. */
  readonly from: string;
  readonly container: Partial<Container>;
  readonly pod?: Partial<PodSpec>;
  readonly prepare?: (objects: MemoryObjects) => void;
  readonly options?: Partial<EnvironmentOptions>;
  readonly variables?: Readonly<Record<string, string>>;
  readonly notes?: readonly RegExp[];
  readonly error?: RegExp;
}

const KUBELET = "pkg/kubelet/kubelet_pods.go makeEnvironmentVariables";
const LINKS = "pkg/kubelet/envvars/envvars_test.go TestFromServices";
const DOWNWARD = "kubernetes.io/docs/concepts/workloads/pods/downward-api";

const configMap = (name: string, data: Record<string, string>, binaryData = {}) => ({
  metadata: { name, namespace: "shop" },
  data,
  binaryData,
});
const secret = (name: string, data: Record<string, string>) => ({
  metadata: { name, namespace: "shop" },
  data,
});
const service = (name: string, clusterIP: string, ports: unknown[], namespace = "shop") => ({
  metadata: { name, namespace },
  spec: { clusterIP, ports },
});
const field = (name: string, fieldPath: string) => ({
  name,
  valueFrom: { fieldRef: { fieldPath } },
});
const resource = (name: string, resource: string, divisor?: string, containerName?: string) => ({
  name,
  valueFrom: {
    resourceFieldRef: {
      resource,
      ...(divisor && { divisor }),
      ...(containerName && { containerName }),
    },
  },
});

const nodeReports = (objects: MemoryObjects) =>
  objects.put("nodes", {
    metadata: { name: "node-1" },
    status: { allocatable: { cpu: "3920m", memory: "7Gi" } },
  });

const POD_FIELDS = [
  field("NAME", "metadata.name"),
  field("NODE", "spec.nodeName"),
  field("HOST_IPS", "status.hostIPs"),
  field("POD_IP", "status.podIP"),
  field("NONE", "metadata.labels['none']"),
];

const CASES: readonly Case[] = [
  {
    name: "files that come from ConfigMaps and Secrets are noted, the service account's are not",
    from: "kubernetes.io/docs/concepts/storage/volumes",
    container: {
      env: [{ name: "A", value: "1" }],
      volumeMounts: [
        { name: "tls", mountPath: "/etc/tls" },
        { name: "settings", mountPath: "/config" },
        { name: "kube-api-access-x", mountPath: "/var/run/secrets/kubernetes.io/serviceaccount" },
        { name: "scratch", mountPath: "/tmp" },
      ],
    },
    pod: {
      volumes: [
        { name: "tls", secret: { secretName: "web-tls" } },
        { name: "settings", configMap: { name: "web-settings" } },
        { name: "kube-api-access-x" },
        { name: "scratch" },
      ],
    },
    variables: { A: "1" },
    notes: [/Secret "web-tls" at \/etc\/tls, ConfigMap "web-settings" at \/config$/],
  },
  {
    name: "plain values, one of them empty",
    from: KUBELET,
    container: { env: [{ name: "A", value: "1" }, { name: "B" }, { name: "C", value: "" }] },
    variables: { A: "1", B: "", C: "" },
  },
  {
    name: "of two entries with one name the later wins",
    from: `${KUBELET}: tmpEnv[envVar.Name] = runtimeVal`,
    container: { env: [{ name: "A", value: "1" }, { name: "A", value: "$(A)2" }] },
    variables: { A: "12" },
  },
  {
    name: "references see what comes before them and nothing that comes after",
    from:
      "kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables",
    container: {
      env: [
        { name: "UNCHANGED_REFERENCE", value: "$(PROTOCOL)://$(SERVICE_IP):$(SERVICE_PORT)" },
        { name: "SERVICE_PORT", value: "80" },
        { name: "SERVICE_IP", value: "172.17.0.1" },
        { name: "PROTOCOL", value: "https" },
        { name: "SERVICE_ADDRESS", value: "$(PROTOCOL)://$(SERVICE_IP):$(SERVICE_PORT)" },
        { name: "ESCAPED_REFERENCE", value: "$$(PROTOCOL)://$(SERVICE_IP):$(SERVICE_PORT)" },
      ],
    },
    variables: {
      UNCHANGED_REFERENCE: "$(PROTOCOL)://$(SERVICE_IP):$(SERVICE_PORT)",
      SERVICE_PORT: "80",
      SERVICE_IP: "172.17.0.1",
      PROTOCOL: "https",
      SERVICE_ADDRESS: "https://172.17.0.1:80",
      ESCAPED_REFERENCE: "$(PROTOCOL)://172.17.0.1:80",
    },
  },
  {
    name: "values from ConfigMaps and Secrets are not expanded, but can be referred to",
    from: `${KUBELET}: only envVar.Value goes through expansion.Expand`,
    prepare: (objects) => {
      objects.put("configmaps", configMap("c", { k: "$(A)", FROM: "all" }));
      objects.put("secrets", secret("s", { k: btoa("hunter2") }));
    },
    container: {
      envFrom: [{ configMapRef: { name: "c" }, prefix: "P_" }],
      env: [
        { name: "A", value: "1" },
        { name: "RAW", valueFrom: { configMapKeyRef: { name: "c", key: "k" } } },
        { name: "KEY", valueFrom: { secretKeyRef: { name: "s", key: "k" } } },
        { name: "ALL", value: "$(RAW) $(KEY) $(P_FROM)" },
      ],
    },
    variables: {
      A: "1",
      RAW: "$(A)",
      KEY: "hunter2",
      ALL: "$(A) hunter2 all",
      P_k: "$(A)",
      P_FROM: "all",
    },
  },
  {
    name: "env wins over envFrom, and a later envFrom over an earlier one",
    from: "API reference, Container.envFrom: the last source takes precedence, env over all",
    prepare: (objects) => {
      objects.put("configmaps", configMap("one", { A: "1", B: "1", C: "1" }));
      objects.put("secrets", secret("two", { B: btoa("2"), C: btoa("2") }));
    },
    container: {
      envFrom: [{ configMapRef: { name: "one" } }, { secretRef: { name: "two" } }],
      env: [{ name: "C", value: "3" }],
    },
    variables: { A: "1", B: "2", C: "3" },
  },
  {
    name: "binaryData is no source of variables",
    from: `${KUBELET}: configMap.Data alone`,
    prepare: (objects) => objects.put("configmaps", configMap("c", { A: "1" }, { B: "AAAA" })),
    container: { envFrom: [{ configMapRef: { name: "c" } }] },
    variables: { A: "1" },
  },
  {
    name: "any key becomes a variable, also one that is no identifier",
    from: "RelaxedEnvironmentVariableValidation, on by default since 1.32: no name is skipped",
    prepare: (objects) =>
      objects.put("configmaps", configMap("c", { "1.a-b": "x", "app.cfg": "y" })),
    container: { envFrom: [{ configMapRef: { name: "c" } }] },
    variables: { "1.a-b": "x", "app.cfg": "y" },
  },
  {
    name: "what is optional and missing leaves the variable as it was",
    from: `${KUBELET}: continue`,
    prepare: (objects) => objects.put("configmaps", configMap("c", { A: "from all" })),
    container: {
      envFrom: [
        { configMapRef: { name: "c" } },
        { configMapRef: { name: "none", optional: true } },
        { secretRef: { name: "none", optional: true } },
      ],
      env: [
        { name: "A", valueFrom: { configMapKeyRef: { name: "c", key: "no", optional: true } } },
        { name: "B", valueFrom: { configMapKeyRef: { name: "none", key: "k", optional: true } } },
        { name: "C", valueFrom: { secretKeyRef: { name: "none", key: "k", optional: true } } },
        { name: "D", value: "[$(B)]" },
      ],
    },
    variables: { A: "from all", D: "[$(B)]" },
  },
  {
    name: "a missing ConfigMap is an error that names it",
    from: `${KUBELET}: the container stays in CreateContainerConfigError`,
    container: { envFrom: [{ configMapRef: { name: "gone" } }] },
    error: /environment of deployment\/web: ConfigMap "gone" does not exist in namespace "shop"/,
  },
  {
    name: "a missing Secret is an error that names it",
    from: KUBELET,
    container: { env: [{ name: "A", valueFrom: { secretKeyRef: { name: "gone", key: "k" } } }] },
    error: /Secret "gone" does not exist in namespace "shop"/,
  },
  {
    name: "a missing key is an error that names it",
    from: `${KUBELET}: couldn't find key`,
    prepare: (objects) => objects.put("secrets", secret("s", { other: "" })),
    container: { env: [{ name: "A", valueFrom: { secretKeyRef: { name: "s", key: "k" } } }] },
    error: /key "k" does not exist in Secret "s" of namespace "shop"/,
  },
  {
    name: "a Secret that may not be read is an error",
    from: "RBAC",
    prepare: (objects) => objects.denied.add("get secrets"),
    container: { env: [{ name: "A", valueFrom: { secretKeyRef: { name: "s", key: "k" } } }] },
    error: /Cannot get secrets\/s: forbidden/,
  },
  {
    name: "each byte that is not text is one U+FFFD, and said",
    from: "env of a pod of kubelet 1.36.2 with containerd 2.1.9",
    prepare: (objects) =>
      objects.put("secrets", secret("s", { BIN: "//7igsMoYQ==", ONE: "/2E=", TEXT: "w6k=" })),
    container: {
      envFrom: [{ secretRef: { name: "s" } }],
      env: [{ name: "JOINED", value: "$(ONE)!" }],
    },
    variables: { BIN: `${"\ufffd".repeat(5)}(a`, ONE: "\ufffda", TEXT: "é", JOINED: "\ufffda!" },
    notes: [
      /^BIN: key "BIN" of Secret "s" is not UTF-8 text/,
      /^ONE: key "ONE" of Secret "s" is not UTF-8 text/,
    ],
  },
  {
    name: "a value with a NUL is left out and said, and what refers to it",
    from: "runc: environment variable value can't contain null; the pod is in RunContainerError",
    prepare: (objects) => objects.put("secrets", secret("s", { NUL: "YQBi" })),
    container: {
      envFrom: [{ secretRef: { name: "s" } }],
      env: [{ name: "A", value: "$(NUL)" }, { name: "B", value: "1" }],
    },
    variables: { B: "1" },
    notes: [/^NUL is left out: it holds a NUL character/, /^A is left out: it holds a NUL/],
  },
  {
    name: "fileKeyRef lies inside the pod and is said",
    from: "KEP-3721, EnvFiles",
    container: {
      env: [{ name: "A", valueFrom: { fileKeyRef: { volumeName: "v", path: "a.env" } } }],
    },
    variables: {},
    notes: [/A is left out: it comes from the file "a.env" inside the pod/],
  },
  {
    name: "what refers to a variable that only the kubelet knows is left out and said",
    from: "czctl's own rule",
    prepare: (objects) => objects.denied.add("get nodes"),
    container: {
      env: [
        resource("MEM", "limits.memory", "1Mi"),
        { name: "FILE", valueFrom: { fileKeyRef: { volumeName: "v", path: "a.env" } } },
        { name: "JAVA_OPTS", value: "-Xmx$(MEM)m -Dx=$(NOBODY_KNOWS)" },
        { name: "ALL", value: "$(JAVA_OPTS) $(LATER)" },
        { name: "FROM_FILE", value: "$(FILE)" },
        { name: "LITERAL", value: "$$(MEM) $(NOBODY_KNOWS)" },
        resource("LATER", "limits.cpu"),
      ],
    },
    variables: { LITERAL: "$(MEM) $(NOBODY_KNOWS)" },
    notes: [
      /^MEM is left out: no limit is set for memory.*node "node-1" may not be read/,
      /^JAVA_OPTS is left out: it refers to MEM, whose value is not known$/,
      /^ALL is left out: it refers to JAVA_OPTS, whose value is not known$/,
      /^FROM_FILE is left out: it refers to FILE, whose value is not known$/,
    ],
  },
  {
    name: "a value that is not known replaces what was there, and is replaced",
    from: `${KUBELET}: tmpEnv[envVar.Name] = runtimeVal`,
    prepare: (objects) => {
      objects.denied.add("get nodes");
      objects.put("configmaps", configMap("c", { A: "from all" }));
      objects.put("services", service("db", "10.96.0.9", [{ port: 1 }]));
    },
    container: {
      envFrom: [{ configMapRef: { name: "c" } }],
      env: [
        resource("A", "limits.cpu"),
        resource("B", "limits.cpu"),
        { name: "B", value: "1" },
        ...["DB_PORT", "DB_PORT_1_TCP", "DB_PORT_1_TCP_ADDR", "DB_PORT_1_TCP_PORT"].map((name) =>
          resource(name, "limits.cpu")
        ),
        { name: "DB_PORT_1_TCP_PROTO", value: "$(DB_PORT)" },
      ],
    },
    variables: { B: "1", DB_SERVICE_HOST: "10.96.0.9", DB_SERVICE_PORT: "1" },
    notes: [/^A is left out: no limit is set for cpu/],
  },
  {
    name: "a reference to a service link that may not be read is left out and said",
    from: "czctl's own rule",
    prepare: (objects) => objects.denied.add("get services"),
    container: {
      env: [
        {
          name: "API",
          value: "https://$(KUBERNETES_SERVICE_HOST):$(KUBERNETES_SERVICE_PORT_HTTPS)",
        },
        { name: "OTHER", value: "$(DB_SERVICE_HOST) $(KUBERNETES_NAMESPACE)" },
      ],
    },
    variables: { OTHER: "$(DB_SERVICE_HOST) $(KUBERNETES_NAMESPACE)" },
    notes: [
      /^Service "kubernetes" may not be read/,
      /^API is left out: it refers to KUBERNETES_SERVICE_HOST, whose value is not known$/,
    ],
  },
  {
    name: "a reference to any name a Service may give is left out where none may be listed",
    from: "czctl's own rule",
    prepare: (objects) => {
      objects.denied.add("list services");
      objects.put(
        "services",
        service("kubernetes", "10.96.0.1", [{ port: 443 }], "default"),
      );
    },
    pod: { enableServiceLinks: true },
    container: {
      env: [
        { name: "DSN", value: "pg://$(DB_SERVICE_HOST)" },
        { name: "ADDR", value: "$(A_B_PORT_80_TCP_ADDR)" },
        { name: "KUBERNETES_PORT", value: "$(KUBERNETES_SERVICE_HOST) $(POD)" },
        ...["KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", "KUBERNETES_PORT_443_TCP"]
          .map((name) => ({ name, value: "x" })),
        ...["PROTO", "PORT", "ADDR"]
          .map((end) => ({ name: `KUBERNETES_PORT_443_TCP_${end}`, value: "x" })),
      ],
    },
    variables: {
      KUBERNETES_PORT: "10.96.0.1 $(POD)",
      KUBERNETES_SERVICE_HOST: "x",
      KUBERNETES_SERVICE_PORT: "x",
      KUBERNETES_PORT_443_TCP: "x",
      KUBERNETES_PORT_443_TCP_PROTO: "x",
      KUBERNETES_PORT_443_TCP_PORT: "x",
      KUBERNETES_PORT_443_TCP_ADDR: "x",
    },
    notes: [
      /^DSN is left out: it refers to DB_SERVICE_HOST/,
      /^ADDR is left out: it refers to A_B_PORT_80_TCP_ADDR/,
    ],
  },
  {
    name: "fieldRef from the running pod",
    from: DOWNWARD,
    pod: { serviceAccountName: "robot" },
    container: {
      env: [
        field("NAME", "metadata.name"),
        field("NAMESPACE", "metadata.namespace"),
        field("POD_UID", "metadata.uid"),
        field("APP", "metadata.labels['app']"),
        field("TEAM", "metadata.annotations['example.org/team']"),
        field("NONE", "metadata.labels['none']"),
        field("NODE", "spec.nodeName"),
        field("OLD_NODE", "spec.host"),
        field("ACCOUNT", "spec.serviceAccountName"),
        field("HOST_IP", "status.hostIP"),
        field("HOST_IPS", "status.hostIPs"),
        field("POD_IP", "status.podIP"),
        field("POD_IPS", "status.podIPs"),
      ],
    },
    variables: {
      NAME: "web-5d9-abcde",
      NAMESPACE: "shop",
      POD_UID: "uid-web-5d9-abcde",
      APP: "web",
      TEAM: "blue",
      NONE: "",
      NODE: "node-1",
      OLD_NODE: "node-1",
      ACCOUNT: "robot",
      HOST_IP: "192.168.0.7",
      HOST_IPS: "192.168.0.7",
      POD_IP: "10.1.2.3",
      POD_IPS: "10.1.2.3,fd00::3",
    },
  },
  {
    name: "fieldRef while no pod runs: from the template, and said",
    from: "czctl's own rule",
    prepare: (objects) => objects.delete("pods", "shop", "web-5d9-abcde"),
    container: {
      env: [
        field("APP", "metadata.labels['app']"),
        field("POD_IP", "status.podIP"),
        field("ACCOUNT", "spec.serviceAccountName"),
      ],
    },
    variables: { APP: "web", POD_IP: "127.0.0.1", ACCOUNT: "default" },
    notes: [/POD_IP: no pod runs, so "status.podIP" is taken to be "127.0.0.1"/],
  },
  {
    name: "fieldRef while the only pod has no node yet: never an empty address",
    from: "the kubelet starts no container before the pod has its addresses",
    prepare: (objects) => {
      const pod = webPod(webDeployment({ env: POD_FIELDS }));
      const { nodeName: _, ...spec } = pod.spec;
      objects.put("pods", { ...pod, spec, status: { phase: "Pending" } });
    },
    container: { env: POD_FIELDS },
    variables: {
      NAME: "web-5d9-abcde",
      NODE: "",
      HOST_IPS: "127.0.0.1",
      POD_IP: "127.0.0.1",
      NONE: "",
    },
    notes: [
      /POD_IP: pod "web-5d9-abcde" does not have it yet, so "status.podIP" is taken to be "127.0.0.1"/,
    ],
  },
  {
    name: "resourceFieldRef with and without a divisor",
    from: "pkg/api/v1/resource/helpers.go ExtractContainerResourceValue",
    container: {
      resources: {
        limits: { cpu: "1500m", memory: "100Mi" },
        requests: { cpu: "125m", memory: "64Mi", "hugepages-2Mi": "4Mi" },
      },
      env: [
        resource("CPU", "limits.cpu"),
        resource("CPU_M", "limits.cpu", "1m"),
        resource("REQUEST", "requests.cpu"),
        resource("MEMORY", "limits.memory"),
        resource("MEMORY_MI", "requests.memory", "1Mi"),
        resource("HUGE", "requests.hugepages-2Mi", "1Mi"),
        resource("DISK", "requests.ephemeral-storage"),
      ],
    },
    variables: {
      CPU: "2",
      CPU_M: "1500",
      REQUEST: "1",
      MEMORY: "104857600",
      MEMORY_MI: "64",
      HUGE: "4",
      DISK: "0",
    },
  },
  {
    name: "a limit that is not set is what the node can give",
    from: "pkg/kubelet/kubelet_resources.go defaultPodLimitsForDownwardAPI",
    prepare: nodeReports,
    container: { env: [resource("CPU", "limits.cpu"), resource("MI", "limits.memory", "1Mi")] },
    variables: { CPU: "4", MI: "7168" },
  },
  {
    name: "a limit that is not set is the pod's own before the node's",
    from: "kubernetes/kubernetes#132605: defaultPodLimitsForDownwardAPI, PodLevelResources",
    pod: { resources: { limits: { cpu: "1500m" } } },
    prepare: nodeReports,
    container: {
      env: [resource("CPU", "limits.cpu", "1m"), resource("MI", "limits.memory", "1Mi")],
    },
    variables: { CPU: "1500", MI: "7168" },
  },
  {
    name: "an init container that is referred to by name gets no limit but its own",
    from: "defaultPodLimitsForDownwardAPI: spec.containers alone; findContainerInPod: both",
    pod: { initContainers: [{ name: "setup", resources: { limits: { cpu: "2" } } }] },
    container: {
      env: [
        resource("CPU", "limits.cpu", "1", "setup"),
        resource("MEMORY", "limits.memory", "1", "setup"),
      ],
    },
    variables: { CPU: "2", MEMORY: "0" },
  },
  {
    name: "a limit that is not set and that the node does not report is 0",
    from: "MergeContainerResourceLimits: only what allocatable has; env of a pod of kubelet 1.36.2",
    prepare: nodeReports,
    container: { env: [resource("DISK", "limits.ephemeral-storage")] },
    variables: { DISK: "0" },
  },
  {
    name: "nodes may not be read: what needs one is left out and said",
    from: "czctl's own rule",
    prepare: (objects) => objects.denied.add("get nodes"),
    container: { env: [resource("CPU", "limits.cpu"), resource("REQ", "requests.cpu")] },
    variables: { REQ: "0" },
    notes: [
      /^CPU is left out: no limit is set for cpu, so it is the node's, and node "node-1" may not be read$/,
    ],
  },
  {
    name: "resources while no pod runs: what a LimitRange would set is said",
    from: "czctl's own rule",
    prepare: (objects) => objects.delete("pods", "shop", "web-5d9-abcde"),
    container: {
      resources: { limits: { cpu: "2" } },
      env: [
        resource("MEM", "limits.memory"),
        resource("REQ", "requests.memory"),
        resource("CPU", "requests.cpu"),
      ],
    },
    variables: { REQ: "0", CPU: "2" },
    notes: [
      /^MEM is left out: no limit is set for memory, so it is the node's, and no pod runs$/,
      /^REQ: no pod runs, so "requests.memory" is taken to be "0"; a LimitRange may give a pod another$/,
    ],
  },
  {
    name: "the same while only pods of an older template run, which have a node",
    from: "czctl's own rule",
    prepare: (objects) => {
      objects.put("pods", webPod(webDeployment({ env: [{ name: "OLD", value: "1" }] })));
      objects.put("nodes", { metadata: { name: "node-1" }, status: { allocatable: { cpu: "4" } } });
    },
    container: { env: [resource("CPU", "limits.cpu")] },
    variables: { CPU: "4" },
    notes: [/^CPU: no pod of the present template runs, so "limits.cpu" is taken to be "4"/],
  },
  {
    name: "pods may not be listed: nothing says that none runs",
    from: "czctl's own rule",
    prepare: (objects) => objects.denied.add("list pods"),
    container: { env: [field("IP", "status.podIP"), resource("CPU", "limits.cpu")] },
    variables: { IP: "127.0.0.1" },
    notes: [
      /^IP: pods may not be listed, so "status.podIP" is taken/,
      /^CPU is left out: no limit .*, and pods may not be listed$/,
    ],
  },
  {
    name: "resourceFieldRef of a sibling container",
    from: "ResourceFieldSelector.containerName",
    pod: { containers: [{ name: "side", resources: { limits: { cpu: "3" } } }] },
    container: { env: [resource("SIDE", "limits.cpu", "1", "side")] },
    variables: { SIDE: "3" },
    notes: [/Container "web"; others, for --container: side/],
  },
  {
    name: "service links of every port",
    from: LINKS,
    prepare: (objects) => {
      objects.put("services", service("foo-bar", "1.2.3.4", [{ port: 8080, protocol: "TCP" }]));
      objects.put("services", service("headless", "None", [{ port: 8082 }]));
      objects.put("services", service("external", "", [{ port: 8082 }]));
      objects.put(
        "services",
        service("abc-123", "5.6.7.8", [
          { name: "u-d-p", port: 8081, protocol: "UDP" },
          { name: "t-c-p", port: 8081, protocol: "TCP" },
        ]),
      );
    },
    container: {},
    variables: {
      FOO_BAR_SERVICE_HOST: "1.2.3.4",
      FOO_BAR_SERVICE_PORT: "8080",
      FOO_BAR_PORT: "tcp://1.2.3.4:8080",
      FOO_BAR_PORT_8080_TCP: "tcp://1.2.3.4:8080",
      FOO_BAR_PORT_8080_TCP_PROTO: "tcp",
      FOO_BAR_PORT_8080_TCP_PORT: "8080",
      FOO_BAR_PORT_8080_TCP_ADDR: "1.2.3.4",
      ABC_123_SERVICE_HOST: "5.6.7.8",
      ABC_123_SERVICE_PORT: "8081",
      ABC_123_SERVICE_PORT_U_D_P: "8081",
      ABC_123_SERVICE_PORT_T_C_P: "8081",
      ABC_123_PORT: "udp://5.6.7.8:8081",
      ABC_123_PORT_8081_UDP: "udp://5.6.7.8:8081",
      ABC_123_PORT_8081_UDP_PROTO: "udp",
      ABC_123_PORT_8081_UDP_PORT: "8081",
      ABC_123_PORT_8081_UDP_ADDR: "5.6.7.8",
      ABC_123_PORT_8081_TCP: "tcp://5.6.7.8:8081",
      ABC_123_PORT_8081_TCP_PROTO: "tcp",
      ABC_123_PORT_8081_TCP_PORT: "8081",
      ABC_123_PORT_8081_TCP_ADDR: "5.6.7.8",
    },
  },
  {
    name: "service links with local addresses, IPv6 in brackets where there is none",
    from: "pkg/kubelet/envvars: net.JoinHostPort",
    prepare: (objects) => {
      objects.put("services", service("db", "10.96.0.9", [{ port: 5432 }]));
      objects.put("services", service("six", "fd00::9", [{ port: 80 }]));
    },
    options: { serviceAddress: (name) => (name === "db" ? "127.1.31.4" : undefined) },
    container: { env: [{ name: "DSN", value: "pg://$(DB_SERVICE_HOST):$(DB_SERVICE_PORT)" }] },
    variables: {
      DSN: "pg://127.1.31.4:5432",
      DB_SERVICE_HOST: "127.1.31.4",
      DB_SERVICE_PORT: "5432",
      DB_PORT: "tcp://127.1.31.4:5432",
      DB_PORT_5432_TCP: "tcp://127.1.31.4:5432",
      DB_PORT_5432_TCP_PROTO: "tcp",
      DB_PORT_5432_TCP_PORT: "5432",
      DB_PORT_5432_TCP_ADDR: "127.1.31.4",
      SIX_SERVICE_HOST: "fd00::9",
      SIX_SERVICE_PORT: "80",
      SIX_PORT: "tcp://[fd00::9]:80",
      SIX_PORT_80_TCP: "tcp://[fd00::9]:80",
      SIX_PORT_80_TCP_PROTO: "tcp",
      SIX_PORT_80_TCP_PORT: "80",
      SIX_PORT_80_TCP_ADDR: "fd00::9",
    },
  },
  {
    name: "env and envFrom win over service links",
    from: `${KUBELET}: remaining service env vars are appended`,
    prepare: (objects) => {
      objects.put("services", service("db", "10.96.0.9", [{ port: 1 }]));
      objects.put("configmaps", configMap("c", { DB_SERVICE_PORT: "2" }));
    },
    container: {
      envFrom: [{ configMapRef: { name: "c" } }],
      env: [{ name: "DB_SERVICE_HOST", value: "mine" }, {
        name: "SEEN",
        value: "$(DB_SERVICE_PORT)",
      }],
    },
    variables: {
      DB_SERVICE_HOST: "mine",
      DB_SERVICE_PORT: "2",
      SEEN: "2",
      DB_PORT: "tcp://10.96.0.9:1",
      DB_PORT_1_TCP: "tcp://10.96.0.9:1",
      DB_PORT_1_TCP_PROTO: "tcp",
      DB_PORT_1_TCP_PORT: "1",
      DB_PORT_1_TCP_ADDR: "10.96.0.9",
    },
  },
  {
    name: "enableServiceLinks: false keeps the API server's variables alone",
    from: "pkg/kubelet/kubelet_pods.go getServiceEnvVarMap: masterServices always",
    pod: { enableServiceLinks: false },
    prepare: (objects) => {
      objects.put("services", service("db", "10.96.0.9", [{ port: 1 }]));
      objects.put(
        "services",
        service("kubernetes", "10.96.0.1", [{ name: "https", port: 443 }], "default"),
      );
    },
    options: { serviceAddress: () => "127.1.31.9" },
    container: {},
    variables: {
      KUBERNETES_SERVICE_HOST: "10.96.0.1",
      KUBERNETES_SERVICE_PORT: "443",
      KUBERNETES_SERVICE_PORT_HTTPS: "443",
      KUBERNETES_PORT: "tcp://10.96.0.1:443",
      KUBERNETES_PORT_443_TCP: "tcp://10.96.0.1:443",
      KUBERNETES_PORT_443_TCP_PROTO: "tcp",
      KUBERNETES_PORT_443_TCP_PORT: "443",
      KUBERNETES_PORT_443_TCP_ADDR: "10.96.0.1",
    },
  },
  {
    name: "services that may not be listed are left out and said",
    from: "czctl's own rule",
    prepare: (objects) => {
      objects.denied.add("list services");
      objects.denied.add("get services");
    },
    container: { env: [{ name: "A", value: "1" }] },
    variables: { A: "1" },
    notes: [/Service "kubernetes" may not be read/, /Services may not be listed/],
  },
  {
    name: "init containers are left out, and refused by name",
    from: "czctl's own rule",
    pod: { initContainers: [{ name: "setup", env: [{ name: "A", value: "1" }] }] },
    options: { container: "setup" },
    container: {},
    error: /Cannot use container "setup" of deployment "web": it is an init container/,
  },
  {
    name: "--container takes a sidecar, which is listed among the init containers",
    from: "KEP-753: an init container with restartPolicy Always runs as long as the pod",
    pod: {
      initContainers: [
        { name: "setup" },
        { name: "proxy", restartPolicy: "Always", env: [{ name: "SIDE", value: "1" }] },
      ],
    },
    options: { container: "proxy" },
    container: { env: [{ name: "A", value: "1" }] },
    variables: { SIDE: "1" },
  },
  {
    name: "a sidecar is never the container by itself, and is offered",
    from: "czctl's own rule",
    pod: { initContainers: [{ name: "proxy", restartPolicy: "Always" }] },
    container: { env: [{ name: "A", value: "1" }] },
    variables: { A: "1" },
    notes: [/^Container "web"; others, for --container: proxy$/],
  },
  {
    name: "a container that a webhook put first is not the workload's",
    from: "istio's holdApplicationUntilProxyStarts; kubectl goes by the annotation istio adds",
    prepare: (objects) => {
      const pod = webPod(webDeployment({ env: [{ name: "A", value: "1" }] }));
      const proxy = { name: "istio-proxy", env: [{ name: "PROXY", value: "1" }] };
      pod.spec.containers.unshift(proxy);
      objects.put("pods", pod);
    },
    container: { env: [{ name: "A", value: "1" }] },
    variables: { A: "1" },
    notes: [/^Container "web"; others, for --container: istio-proxy$/],
  },
  {
    name: "the annotation that names the container counts on the pod, too",
    from: "kubectl pkg/cmd/util/podcmd: FindOrDefaultContainerByName reads the pod's annotations",
    pod: { containers: [{ name: "app", env: [{ name: "APP", value: "1" }] }] },
    prepare: (objects) => {
      const deployment = webDeployment({ env: [{ name: "A", value: "1" }] });
      deployment.spec.template.spec.containers.push({
        name: "app",
        env: [{ name: "APP", value: "1" }],
      });
      const pod = webPod(deployment);
      const annotations = { "kubectl.kubernetes.io/default-container": "app" };
      objects.put("pods", { ...pod, metadata: { ...pod.metadata, annotations } });
    },
    container: { env: [{ name: "A", value: "1" }] },
    variables: { APP: "1" },
  },
  {
    name: "--container takes another one",
    from: "czctl's own rule",
    pod: { containers: [{ name: "side", env: [{ name: "SIDE", value: "1" }] }] },
    options: { container: "side" },
    container: { env: [{ name: "A", value: "1" }] },
    variables: { SIDE: "1" },
  },
  {
    name: "--container that does not exist names those that do",
    from: "czctl's own rule",
    options: { container: "nope" },
    container: {},
    error: /Cannot find container "nope" in deployment "web"/,
  },
];

function stage({ container, pod = {}, prepare }: Partial<Case>): MemoryObjects {
  const objects = new MemoryObjects();
  const deployment = webDeployment(container, { ...pod, containers: undefined });
  deployment.spec.template.spec.containers.push(...pod.containers ?? []);
  objects.put("deployments", deployment);
  objects.put("pods", webPod(deployment));
  prepare?.(objects);
  return objects;
}

for (const one of CASES) {
  Deno.test(`computeEnvironment: ${one.name} [${one.from}]`, async () => {
    const objects = stage(one);
    const result = computeEnvironment({ objects, workload, ...one.options });
    if (one.error) {
      return await assert.rejects(
        result,
        (error) => error instanceof CzctlError && one.error!.test(error.message),
      );
    }
    const { variables, notes } = await result;
    assert.deepEqual(Object.fromEntries(variables), one.variables);
    for (const note of one.notes ?? []) {
      assert.ok(notes.some((text) => note.test(text)), `${notes}`);
    }
    if (!one.notes) {
      assert.deepEqual(notes.filter((text) => !/^Container|kubernetes/.test(text)), []);
    }
  });
}

Deno.test("computeEnvironment gives the variables in the order of the spec, links last", async () => {
  const objects = stage({
    container: {
      envFrom: [{ configMapRef: { name: "c" } }],
      env: [{ name: "Z", value: "1" }, { name: "A", value: "2" }],
    },
    prepare: (objects) => {
      objects.put("configmaps", configMap("c", { M: "0", B: "0" }));
      objects.put("services", service("db", "10.96.0.9", [{ port: 1 }]));
    },
  });
  const { variables } = await computeEnvironment({ objects, workload });
  assert.deepEqual([...variables.keys()].slice(0, 5), ["B", "M", "Z", "A", "DB_SERVICE_HOST"]);
});

Deno.test("computeEnvironment prefers a ready pod of the present template", async () => {
  const objects = new MemoryObjects();
  const container = { env: [field("POD", "metadata.name"), { name: "V", value: "2" }] };
  const old = webDeployment({ env: [field("POD", "metadata.name"), { name: "V", value: "1" }] });
  const now = webDeployment(container);
  objects.put("deployments", now);
  objects.put("pods", webPod(old, "web-1-a"));
  const starting = webPod(now, "web-2-b");
  starting.status.conditions = [{ type: "Ready", status: "False" }];
  objects.put("pods", starting);
  const compute = async () =>
    Object.fromEntries((await computeEnvironment({ objects, workload })).variables);
  assert.deepEqual(await compute(), { POD: "web-1-a", V: "2" });
  objects.put("pods", webPod(now, "web-2-b"));
  assert.deepEqual(await compute(), { POD: "web-2-b", V: "2" });
});

Deno.test("computeEnvironment has what admission added to the pod, not what the template dropped", async () => {
  const objects = new MemoryObjects();
  const a = { name: "A", value: "1" };
  const b = { name: "B", value: "1" };
  const revised = (revision: string, env: unknown[]) => {
    const deployment = webDeployment({ env });
    return {
      ...deployment,
      metadata: {
        ...deployment.metadata,
        annotations: { "deployment.kubernetes.io/revision": revision },
      },
    };
  };
  const replicaSet = (hash: string, revision: string) => ({
    metadata: {
      name: `web-${hash}`,
      namespace: "shop",
      labels: { app: "web", "pod-template-hash": hash },
      annotations: { "deployment.kubernetes.io/revision": revision },
      ownerReferences: [{ kind: "Deployment", name: "web", uid: "d1" }],
    },
  });
  const compute = async () =>
    Object.fromEntries((await computeEnvironment({ objects, workload })).variables);
  // Revision 1 has A and B; a webhook added MESH to its pod.
  objects.put("deployments", revised("1", [a, b]));
  objects.put("replicasets", replicaSet("one", "1"));
  objects.put(
    "pods",
    webPod(webDeployment({ env: [a, b, { name: "MESH", value: "on" }] }), "web-one-x", {
      "pod-template-hash": "one",
    }),
  );
  assert.deepEqual(await compute(), { A: "1", B: "1", MESH: "on" });
  // Revision 2 drops B; the only pod is still the old one.
  objects.put("deployments", revised("2", [a]));
  objects.put("replicasets", replicaSet("two", "2"));
  assert.deepEqual(await compute(), { A: "1" });
});

Deno.test("computeEnvironment keeps to a Deployment's own pods where another's match its selector", async () => {
  const objects = new MemoryObjects();
  const env = [field("POD", "metadata.name")];
  const deployment = webDeployment({ env });
  objects.put("deployments", deployment);
  const canary = webPod(webDeployment({ env }), "a-canary", { track: "canary" });
  canary.metadata.ownerReferences[0]!.name = "web-canary-5d9";
  canary.metadata.ownerReferences[0]!.uid = "rs-canary";
  objects.put("pods", canary);
  const { ownerReferences: _, ...bare } = webPod(deployment, "b-bare").metadata;
  objects.put("pods", { ...webPod(deployment, "b-bare"), metadata: bare });
  const compute = async () =>
    (await computeEnvironment({ objects, workload })).variables.get("POD");
  assert.equal(await compute(), "web");
  objects.put("pods", webPod(deployment, "web-5d9-z"));
  assert.equal(await compute(), "web-5d9-z");
  // One of a ReplicaSet that was adopted has another name than the controller gives.
  objects.delete("pods", "shop", "web-5d9-z");
  objects.put("replicasets", {
    metadata: {
      name: "older",
      namespace: "shop",
      uid: "rs-older",
      labels: { app: "web" },
      ownerReferences: [{ kind: "Deployment", name: "web", uid: "d1" }],
    },
  });
  const adopted = webPod(deployment, "older-z");
  adopted.metadata.ownerReferences[0]!.name = "older";
  adopted.metadata.ownerReferences[0]!.uid = "rs-older";
  objects.put("pods", adopted);
  assert.equal(await compute(), "older-z");
});

Deno.test("computeEnvironment has what admission changed in a pod of the present revision", async () => {
  const deployment = {
    ...webDeployment({ env: [{ name: "JAVA_TOOL_OPTIONS", value: "-Xmx1g" }] }),
  };
  const annotations = { "deployment.kubernetes.io/revision": "3" };
  const stage = (observed: number) => {
    const objects = new MemoryObjects();
    objects.put("deployments", {
      ...deployment,
      metadata: { ...deployment.metadata, generation: 2, annotations },
      status: { observedGeneration: observed },
    });
    objects.put("replicasets", {
      metadata: {
        name: "web-5d9",
        namespace: "shop",
        labels: { app: "web", "pod-template-hash": "5d9" },
        annotations,
        ownerReferences: [{ kind: "Deployment", name: "web", uid: "d1" }],
      },
    });
    const agent = { name: "JAVA_TOOL_OPTIONS", value: "-Xmx1g -javaagent:/otel.jar" };
    objects.put(
      "pods",
      webPod(webDeployment({ env: [agent] }), "web-5d9-abcde", { "pod-template-hash": "5d9" }),
    );
    return computeEnvironment({ objects, workload });
  };
  const now = await stage(2);
  assert.equal(now.variables.get("JAVA_TOOL_OPTIONS"), "-Xmx1g -javaagent:/otel.jar");
  // The controller has not seen the present template yet: the revision is that of an older one.
  const edited = await stage(1);
  assert.equal(edited.variables.get("JAVA_TOOL_OPTIONS"), "-Xmx1g");
});

Deno.test("computeEnvironment has what the Job controller adds: JOB_COMPLETION_INDEX", async () => {
  const objects = new MemoryObjects();
  const labels = { "job-name": "x-1" };
  const template = (value: string) => ({
    metadata: { labels },
    spec: { containers: [{ name: "c", env: [{ name: "A", value }] }] },
  });
  const own = (uid: string) => ({ ownerReferences: [{ kind: "Any", name: "x", uid }] });
  const index = "metadata.annotations['batch.kubernetes.io/job-completion-index']";
  objects.put("cronjobs", {
    metadata: { name: "x", namespace: "shop", uid: "c1" },
    spec: { jobTemplate: { spec: { template: template("1") } } },
  });
  objects.put("jobs", {
    metadata: { name: "x-1", namespace: "shop", uid: "j1", ...own("c1") },
    spec: { selector: { matchLabels: labels }, template: template("1") },
  });
  objects.put("pods", {
    ...webPod(webDeployment({})),
    metadata: {
      name: "x-1-0",
      namespace: "shop",
      uid: "p1",
      labels,
      annotations: { "batch.kubernetes.io/job-completion-index": "4" },
      ...own("j1"),
    },
    spec: {
      containers: [{
        name: "c",
        env: [{ name: "A", value: "1" }, field("JOB_COMPLETION_INDEX", index)],
      }],
    },
  });
  for (const [kind, name] of [["job", "x-1"], ["cronjob", "x"]] as const) {
    const workload = { kind, name, namespace: "shop" };
    const { variables } = await computeEnvironment({ objects, workload });
    assert.deepEqual(Object.fromEntries(variables), { A: "1", JOB_COMPLETION_INDEX: "4" }, kind);
  }
  // The CronJob was edited since: its last Job's pods are no longer what it makes.
  objects.put("cronjobs", {
    metadata: { name: "x", namespace: "shop", uid: "c1" },
    spec: { jobTemplate: { spec: { template: template("2") } } },
  });
  const cronJob = { kind: "cronjob", name: "x", namespace: "shop" } as const;
  const { variables } = await computeEnvironment({ objects, workload: cronJob });
  assert.deepEqual(Object.fromEntries(variables), { A: "2" });
});

Deno.test("computeEnvironment gives an Indexed Job without pods the index of its first", async () => {
  const objects = new MemoryObjects();
  const spec = {
    completionMode: "Indexed",
    template: { spec: { containers: [{ name: "c", env: [{ name: "A", value: "1" }] }] } },
  };
  objects.put("jobs", { metadata: { name: "x", namespace: "shop", uid: "j1" }, spec });
  objects.put("cronjobs", {
    metadata: { name: "x", namespace: "shop", uid: "c1" },
    spec: { jobTemplate: { spec } },
  });
  for (const kind of ["job", "cronjob"] as const) {
    const workload = { kind, name: "x", namespace: "shop" };
    const { variables, notes } = await computeEnvironment({ objects, workload });
    assert.deepEqual(Object.fromEntries(variables), { A: "1", JOB_COMPLETION_INDEX: "0" }, kind);
    assert.match(notes.join("\n"), /JOB_COMPLETION_INDEX: no pod runs/);
  }
});

Deno.test("computeEnvironment takes a StatefulSet without pods for its first pod", async () => {
  const objects = new MemoryObjects();
  const env = [
    field("NAME", "metadata.name"),
    field("POD", "metadata.labels['statefulset.kubernetes.io/pod-name']"),
    field("INDEX", "metadata.labels['apps.kubernetes.io/pod-index']"),
    field("APP", "metadata.labels['app']"),
  ];
  objects.put("statefulsets", {
    metadata: { name: "db", namespace: "shop", uid: "s1" },
    spec: {
      replicas: 0,
      selector: { matchLabels: { app: "db" } },
      template: { metadata: { labels: { app: "db" } }, spec: { containers: [{ name: "c", env }] } },
    },
  });
  const { variables, notes } = await computeEnvironment({
    objects,
    workload: { kind: "statefulset", name: "db", namespace: "shop" },
  });
  assert.deepEqual(Object.fromEntries(variables), {
    NAME: "db-0",
    POD: "db-0",
    INDEX: "0",
    APP: "db",
  });
  assert.equal(notes.filter((note) => note.includes("no pod runs")).length, 3);
});

Deno.test("computeEnvironment knows every kind of workload", async () => {
  const objects = new MemoryObjects();
  const env = [{ name: "A", value: "1" }, field("POD", "metadata.name")];
  const template = {
    metadata: { labels: { app: "x" } },
    spec: { containers: [{ name: "c", env }] },
  };
  const own = (uid: string) => ({ ownerReferences: [{ kind: "Any", name: "x", uid }] });
  const pod = (name: string, extra: Record<string, unknown>) => ({
    ...webPod(webDeployment({ env }), name),
    metadata: { name, namespace: "shop", uid: name, labels: { app: "x" }, ...extra },
  });
  for (const kind of ["statefulset", "daemonset", "replicaset", "job"] as const) {
    objects.put(`${kind}s`, {
      metadata: { name: "x", namespace: "shop", uid: `of-${kind}` },
      spec: { selector: { matchLabels: { app: "x" } }, template },
    });
    objects.put("pods", pod(`pod-of-${kind}`, own(`of-${kind}`)));
  }
  objects.put("cronjobs", {
    metadata: { name: "x", namespace: "shop", uid: "of-cronjob" },
    spec: { jobTemplate: { spec: { template } } },
  });
  objects.put("jobs", {
    metadata: { name: "x-1", namespace: "shop", uid: "j1", ...own("of-cronjob") },
    spec: { template },
  });
  objects.put(
    "pods",
    pod("pod-of-cronjob", { labels: { "job-name": "x-1" }, ...own("j1") }),
  );
  for (
    const kind of ["statefulset", "daemonset", "replicaset", "job", "cronjob"] as const
  ) {
    const workload = { kind, name: "x", namespace: "shop" };
    const { variables } = await computeEnvironment({ objects, workload });
    assert.deepEqual(Object.fromEntries(variables), { A: "1", POD: `pod-of-${kind}` }, kind);
  }
  objects.put("services", { ...service("svc", "None", []), spec: { selector: { app: "x" } } });
  for (
    const [kind, name, expected] of [
      ["pod", "pod-of-job", "pod-of-job"],
      ["service", "svc", "pod-of-daemonset"],
    ] as const
  ) {
    const workload = { kind, name, namespace: "shop" };
    const { variables } = await computeEnvironment({ objects, workload });
    assert.deepEqual(Object.fromEntries(variables), { A: "1", POD: expected }, kind);
  }
});

Deno.test("computeEnvironment names the command that shows what there is", async () => {
  const workload = { kind: "deployment", name: "none", namespace: "shop" } as const;
  await assert.rejects(
    computeEnvironment({ objects: new MemoryObjects(), workload }),
    { hint: "See: kubectl --context memory get deployment -n shop" },
  );
});

Deno.test("computeEnvironment says clearly what has no environment", async () => {
  const objects = new MemoryObjects();
  objects.put("services", service("plain", "10.0.0.1", []));
  objects.put("services", { ...service("idle", "", []), spec: { selector: { app: "none" } } });
  for (
    const [kind, name, code, message] of [
      ["namespace", "shop", "usage", /Cannot make an environment file for a namespace/],
      ["deployment", "none", "not_found", /Cannot find deployment "none" in namespace "shop"/],
      ["service", "plain", "failed", /service "plain": it selects no pods/],
      ["service", "idle", "not_found", /Cannot find a pod behind service "idle"/],
    ] as const
  ) {
    await assert.rejects(
      computeEnvironment({ objects, workload: { kind, name, namespace: "shop" } }),
      (error) => error instanceof CzctlError && error.code === code && message.test(error.message),
    );
  }
});
