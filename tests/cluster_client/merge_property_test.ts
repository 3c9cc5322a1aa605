import assert from "node:assert/strict";
import fc from "fast-check";
import type { Slice, SliceEndpoint } from "../../src/cluster/endpoint_slice.ts";
import { mergeService } from "../../src/cluster/merge.ts";
import type { PodSpec } from "../../src/cluster/pod_endpoints.ts";
import { ServiceIndex } from "../../src/cluster/service_index.ts";
import type { ServiceSpec } from "../../src/cluster/service_spec.ts";

const podNames = fc.constantFrom("p0", "p1", "p2", "p3", "p4");

const endpoint: fc.Arbitrary<SliceEndpoint> = fc.record({
  name: podNames,
  isPod: fc.boolean(),
  hostname: fc.option(fc.constantFrom("h0", "h1"), { nil: undefined }),
  ready: fc.boolean(),
  serving: fc.boolean(),
  terminating: fc.boolean(),
}).map(({ name, isPod, hostname, ...flags }) => ({
  ...(isPod ? { pod: { namespace: "ns", name, uid: `u-${name}` } } : {}),
  address: name,
  ...(hostname ? { hostname } : {}),
  ...flags,
}));

const slice: fc.Arbitrary<Slice> = fc.record({
  namespace: fc.constant("ns"),
  service: fc.constantFrom("a", "b", "c"),
  ports: fc.uniqueArray(
    fc.record({
      name: fc.constantFrom("http", "grpc", ""),
      port: fc.option(fc.integer({ min: 1, max: 65535 }), { nil: undefined }),
    }),
    { selector: (port) => port.name, maxLength: 3 },
  ),
  endpoints: fc.array(endpoint, { maxLength: 5 }),
});

const spec: fc.Arbitrary<ServiceSpec> = fc.record({
  namespace: fc.constant("ns"),
  name: fc.constantFrom("a", "b", "c"),
  uid: fc.constantFrom("1", "2"),
  type: fc.constantFrom("ClusterIP", "ExternalName"),
  clusterIP: fc.constantFrom("10.0.0.1", "None"),
  externalName: fc.constant("x.example.com"),
  selector: fc.option(fc.constantFrom({ app: "x" }, { app: "y", tier: "z" }), { nil: undefined }),
  ports: fc.uniqueArray(
    fc.record({
      name: fc.constantFrom("http", "grpc", "dns"),
      port: fc.integer({ min: 1, max: 65535 }),
      protocol: fc.constantFrom("TCP", "UDP"),
      targetPort: fc.oneof(fc.constantFrom("http", "grpc"), fc.integer({ min: 1, max: 65535 })),
    }),
    { selector: (port) => port.name, maxLength: 3 },
  ),
  publishNotReadyAddresses: fc.boolean(),
}).map(({ selector, ...rest }) => ({ ...rest, ...(selector ? { selector } : {}) }));

const pod: fc.Arbitrary<PodSpec> = fc.record({
  namespace: fc.constant("ns"),
  name: podNames,
  uid: fc.constantFrom("1", "2", "3"),
  labels: fc.constantFrom<Record<string, string>>({}, { app: "x" }, { app: "y", tier: "z" }),
  ready: fc.boolean(),
  terminating: fc.boolean(),
  alive: fc.boolean(),
  hostname: fc.constantFrom("", "h0"),
  subdomain: fc.constantFrom("", "a"),
  ports: fc.subarray([8080, 9090]),
  namedPorts: fc.constantFrom<Record<string, number>>({}, { http: 8080 }, { http: 9090, grpc: 1 }),
});

Deno.test("mergeService() does not depend on the order of the slices or of their endpoints", () => {
  fc.assert(fc.property(
    spec,
    fc.array(slice, { maxLength: 5 }).chain((slices) =>
      fc.tuple(fc.constant(slices), fc.shuffledSubarray(slices, { minLength: slices.length }))
    ),
    (service, [slices, shuffled]) => {
      const turned = shuffled.map((one) => ({ ...one, endpoints: one.endpoints.toReversed() }));
      assert.deepEqual(mergeService(service, turned), mergeService(service, slices));
    },
  ));
});

Deno.test("mergeService() has one endpoint per pod, and only ports the Service and a slice name", () => {
  fc.assert(fc.property(spec, fc.array(slice, { maxLength: 5 }), (service, slices) => {
    const merged = mergeService(service, slices);
    const uids = merged.endpoints.map((one) => one.podUid);
    assert.equal(new Set(uids).size, uids.length);
    if (merged.kind === "none") return assert.ok(merged.reason);
    const named = new Set(
      slices.flatMap((one) => one.endpoints.flatMap(({ pod }) => pod ? [pod.uid] : [])),
    );
    assert.deepEqual(new Set(uids), named);
    const tcp = service.ports.filter((port) => port.protocol === "TCP").map((port) => port.name);
    for (const { ports } of merged.endpoints) {
      for (const name of Object.keys(ports)) assert.ok(tcp.includes(name));
    }
  }));
});

type Step =
  | { what: "service"; key: string; value: ServiceSpec | undefined }
  | { what: "slice"; key: string; value: Slice | undefined }
  | { what: "pod"; key: string; value: PodSpec | undefined }
  | { what: "flush" };

const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined, freq: 3 });
const step: fc.Arbitrary<Step> = fc.oneof(
  maybe(spec).chain((value) =>
    fc.constantFrom("a", "b", "c").map((key) => ({
      what: "service" as const,
      key,
      value: value && { ...value, name: key },
    }))
  ),
  fc.record({
    what: fc.constant("slice" as const),
    key: fc.constantFrom("s0", "s1", "s2"),
    value: maybe(slice),
  }),
  maybe(pod).chain((value) =>
    podNames.map((key) => ({ what: "pod" as const, key, value: value && { ...value, name: key } }))
  ),
  fc.constant({ what: "flush" as const }),
);

Deno.test("ServiceIndex comes to the same picture step by step as all at once", () => {
  fc.assert(fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
    const index = new ServiceIndex();
    const state = {
      service: new Map<string, ServiceSpec>(),
      slice: new Map<string, Slice>(),
      pod: new Map<string, PodSpec>(),
    };
    const tell = (to: ServiceIndex, one: Exclude<Step, { what: "flush" }>, before: unknown) => {
      if (one.value === undefined && before === undefined) return;
      if (one.what === "service") to.setService(before as ServiceSpec | undefined, one.value);
      else if (one.what === "slice") to.setSlice(one.key, before as Slice | undefined, one.value);
      else to.setPod(before as PodSpec | undefined, one.value);
    };
    for (const one of steps) {
      if (one.what === "flush") {
        index.flush();
        continue;
      }
      const map = state[one.what] as Map<string, unknown>;
      tell(index, one, map.get(one.key));
      if (one.value === undefined) map.delete(one.key);
      else map.set(one.key, one.value);
    }
    index.flush();
    const fresh = new ServiceIndex();
    for (const [key, value] of state.service) {
      tell(fresh, { what: "service", key, value }, undefined);
    }
    for (const [key, value] of state.slice) tell(fresh, { what: "slice", key, value }, undefined);
    for (const [key, value] of state.pod) tell(fresh, { what: "pod", key, value }, undefined);
    fresh.flush();
    const sorted = (from: ServiceIndex) => [...from.services].sort(([a], [b]) => a < b ? -1 : 1);
    assert.deepEqual(sorted(index), sorted(fresh));
  }));
});

Deno.test("ServiceIndex tells each pod that is gone, and none that is still named", () => {
  const index = new ServiceIndex();
  const make = (...names: string[]): Slice => ({
    namespace: "ns",
    service: "a",
    ports: [],
    endpoints: names.map((name) => ({
      pod: { namespace: "ns", name, uid: name },
      address: name,
      ready: true,
      serving: true,
      terminating: false,
    })),
  });
  index.setSlice("1", undefined, make("p", "q"));
  index.setSlice("2", undefined, make("q"));
  assert.deepEqual(index.flush().podsGone, []);
  index.setSlice("1", make("p", "q"), make());
  assert.deepEqual(index.flush().podsGone, ["p"]);
  // Moved from one slice to another within a burst: not gone.
  index.setSlice("2", make("q"), make());
  index.setSlice("1", make(), make("q"));
  assert.deepEqual(index.flush().podsGone, []);
});
