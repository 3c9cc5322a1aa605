import { isLabel, MAX_NAME_LENGTH } from "../hosts/names.ts";
import type { HostsEntry } from "../model/hosts.ts";
import { namesOfEntry } from "./hosts_board.ts";
import type { ClusterService, ServiceEndpoint, ServicePort } from "../model/service.ts";

/** What of the cluster a session wants, from the command line. */
export interface PlanOptions {
  /** The teleported workload's namespace: its services and their pods also get their bare names. */
  readonly ownNamespace: string;
  /** Globs over service names, or over `namespace/service` where they hold a slash. */
  readonly exclude: readonly string[];
  readonly only: readonly string[];
  readonly bareNames: boolean;
  readonly clusterDomain: string;
  /** `--domain`: the session's names end with it, so that a second cluster can live beside the first. */
  readonly domain: string | undefined;
  readonly take: readonly string[];
}

/** One address to come: a Service, or a pod of a headless one that has a name of its own. */
export interface PlannedAddress {
  /** `namespace/service` or `namespace/service/pod`. */
  readonly key: string;
  readonly namespace: string;
  readonly service: string;
  readonly pod: string | undefined;
  /** The key of what this is another name of; then it has that one's address, and no ports. */
  readonly aliasOf: string | undefined;
  readonly ports: readonly PlannedPort[];
  readonly affinitySeconds: number | undefined;
  readonly endpoints: readonly ServiceEndpoint[];
  readonly skipped: readonly string[];
  readonly entry: Omit<HostsEntry, "address">;
}

export interface PlannedPort {
  readonly port: number;
  /** The Service's port name, by which endpoints give the pod's port number. */
  readonly name: string;
  /** The container port's name that it leads to, where it is not a number. */
  readonly targetName: string | undefined;
  readonly appProtocol: string | undefined;
}

/** A Service that gets no address, and why. */
export interface UnplannedService {
  readonly namespace: string;
  readonly service: string;
  readonly reason: string;
  readonly skipped: readonly string[];
}

export interface Plan {
  readonly addresses: readonly PlannedAddress[];
  readonly without: readonly UnplannedService[];
}

/**
 * Plans one session again and again. A Service that is the same object as last
 * time gets the same plan objects, so that a change of one Service among a
 * thousand costs the work of one.
 */
export class Planner {
  readonly #parts = new WeakMap<ClusterService, Part>();

  constructor(private readonly options: PlanOptions) {}

  plan(services: Iterable<ClusterService>): Plan {
    const all = [...services];
    const chosen = all.filter((service) => this.#part(service) !== NOTHING);
    chosen.sort((a, b) => compare(a.namespace, b.namespace) || compare(a.name, b.name));
    const parts = chosen.map((service) => this.#part(service));
    const addresses = parts.flatMap((part) => part.addresses);
    const aliases = planAliases(
      parts.flatMap(({ alias }) => alias ?? []),
      addresses,
      all,
      this.options,
    );
    return {
      // Pods last: what a Service gets does not depend on its neighbours' pods.
      addresses: [
        ...addresses.filter(({ pod }) => pod === undefined),
        ...addresses.filter(({ pod }) => pod !== undefined),
        ...aliases.addresses,
      ],
      without: [...parts.flatMap((part) => part.without), ...aliases.without],
    };
  }

  #part(service: ClusterService): Part {
    let part = this.#parts.get(service);
    if (part === undefined) this.#parts.set(service, part = planService(service, this.options));
    return part;
  }
}

/** What one Service comes to by itself. */
interface Part extends Plan {
  /** Another name: what it comes to depends on the other one. */
  readonly alias?: Alias;
}

interface Alias {
  readonly service: ClusterService;
  readonly target: {
    readonly namespace: string;
    readonly service: string;
    readonly pod: string | undefined;
    readonly key: string;
  };
}

/** Characters shown of a name that is none; RFC 1123 allows 63. */
const SHOWN_NAME = 80;
/** Endpoints without a pod that are told one by one. */
const MOST_PODLESS = 3;

const NOTHING: Part = { addresses: [], without: [] };

/**
 * What a session should look like for these services; sorted by namespace and
 * name, first Services, then pods, then other names of both.
 */
export function planSession(services: Iterable<ClusterService>, options: PlanOptions): Plan {
  return new Planner(options).plan(services);
}

function planService(service: ClusterService, options: PlanOptions): Part {
  if (!isChosen(service, options)) return NOTHING;
  const unnameable = planUnnameable(service, options);
  if (unnameable !== undefined) return unnameable;
  const target = targetOf(service, options);
  if (target !== undefined) return { addresses: [], without: [], alias: { service, target } };
  const skipped = skippedOf(service);
  const reason = service.kind === "none"
    ? service.reason ?? "no tunnel is possible"
    : service.ports.length === 0
    ? service.reason ?? "it has no TCP port"
    : undefined;
  if (reason !== undefined) {
    const { namespace, name } = service;
    return { addresses: [], without: [{ namespace, service: name, reason, skipped }] };
  }
  const addresses = [planned(service, options, undefined, service.endpoints, skipped)];
  if (service.kind === "headless") {
    for (const [hostname, endpoints] of byHostname(service.endpoints)) {
      const pod = planned(service, options, hostname, endpoints, []);
      if (!isTooLong(pod)) addresses.push(pod);
    }
  }
  return { addresses, without: [] };
}

/**
 * A Service whose name cannot be a host's: no DNS label, which no real API
 * server lets pass, or too long with `--domain`. The helper refuses whatever
 * holds such a name as a whole, with the names of the user's other sessions.
 */
function planUnnameable(service: ClusterService, options: PlanOptions): Part | undefined {
  const { namespace, name } = service;
  const wrong = [name, namespace].find((label) => !isLabel(label));
  const reason = wrong !== undefined
    ? `its ${wrong === name ? "name" : "namespace"} is no DNS label`
    : isTooLong(planned(service, options, undefined, [], []))
    ? `its host name would be longer than ${MAX_NAME_LENGTH} characters`
    : undefined;
  if (reason === undefined) return undefined;
  const without = { namespace: clipped(namespace), service: clipped(name), reason, skipped: [] };
  return { addresses: [], without: [without] };
}

function isTooLong({ entry }: PlannedAddress): boolean {
  return namesOfEntry(entry).some((name) => name.length > MAX_NAME_LENGTH);
}

function clipped(name: string): string {
  return name.length > SHOWN_NAME ? `${name.slice(0, SHOWN_NAME)}...` : name;
}

/** What of a Service is not forwarded, in words. */
function skippedOf({ skippedPorts, podless = [] }: ClusterService): string[] {
  const ports = skippedPorts.map(({ port, protocol, reason }) =>
    `port ${port}/${protocol}: ${reason}`
  );
  if (podless.length === 0) return ports;
  const shown = podless.slice(0, MOST_PODLESS).join(", ");
  const more = podless.length - MOST_PODLESS;
  return [
    ...ports,
    `endpoint${podless.length === 1 ? "" : "s"} ${shown}${more > 0 ? ` and ${more} more` : ""}: ` +
    "no pod is named (no targetRef), which a port-forward needs",
  ];
}

/** What in the cluster an ExternalName Service leads to, as its DNS reads it. */
function targetOf(
  { externalName }: ClusterService,
  { clusterDomain }: PlanOptions,
): Alias["target"] | undefined {
  const name = (externalName ?? "").toLowerCase().replace(/\.$/, "");
  const ending = name.endsWith(`.svc.${clusterDomain}`) ? clusterDomain.length + 1 : 0;
  const labels = name.slice(0, name.length - ending).split(".").reverse();
  const [svc, namespace, service, pod, ...more] = labels;
  if (svc !== "svc" || !namespace || !service || more.length > 0) return undefined;
  const key = `${namespace}/${service}${pod === undefined ? "" : `/${pod}`}`;
  return { namespace, service, pod, key };
}

/** Other names lead where the one they stand for has its address; one hop, as chains are rare. */
function planAliases(
  aliases: readonly Alias[],
  addresses: readonly PlannedAddress[],
  services: readonly ClusterService[],
  options: PlanOptions,
): Plan {
  if (aliases.length === 0) return NOTHING;
  const byKey = new Map(addresses.map((address) => [address.key, address]));
  const found: PlannedAddress[] = [];
  const without: UnplannedService[] = [];
  for (const { service, target } of aliases) {
    const other = byKey.get(target.key);
    if (other === undefined) {
      const { namespace, name } = service;
      const reason = whyNoTarget(target, services, options);
      without.push({ namespace, service: name, reason, skipped: [] });
    } else {
      const entry = planned(service, options, undefined, other.endpoints, []);
      found.push({ ...entry, aliasOf: target.key, ports: [] });
    }
  }
  return { addresses: found, without };
}

function whyNoTarget(
  target: Alias["target"],
  services: readonly ClusterService[],
  options: PlanOptions,
): string {
  const { namespace, service: name, pod } = target;
  const what = `It is another name of Service "${name}" in namespace "${namespace}"`;
  const there = services.filter((service) => service.namespace === namespace);
  if (there.length === 0) return `${what}, which is not part of this session: add -a ${namespace}`;
  const other = there.find((service) => service.name === name);
  if (other === undefined) return `${what}, which is not among the Services of this session`;
  if (!isChosen(other, options)) {
    return `${what}, which ${isExcluded(other, options) ? "--exclude" : "--only"} leaves out`;
  }
  if (pod === undefined || other.kind === "none") return `${what}, which has no tunnel here`;
  const whose =
    `It is another name of pod "${pod}" of Service "${name}" in namespace "${namespace}"`;
  return other.kind === "headless"
    ? `${whose}, which has no pod of that name now`
    : `${whose}, whose pods have no names here, as it is not headless`;
}

function planned(
  service: ClusterService,
  options: PlanOptions,
  pod: string | undefined,
  endpoints: readonly ServiceEndpoint[],
  skipped: readonly string[],
): PlannedAddress {
  const base = `${service.namespace}/${service.name}`;
  return {
    key: pod === undefined ? base : `${base}/${pod}`,
    namespace: service.namespace,
    service: service.name,
    pod,
    aliasOf: undefined,
    ports: portsOf(service, endpoints),
    affinitySeconds: service.affinitySeconds,
    endpoints,
    skipped,
    entry: {
      service: service.name,
      namespace: service.namespace,
      domain: options.domain ?? options.clusterDomain,
      ...(options.domain === undefined ? {} : { qualifiedOnly: true }),
      ...(pod === undefined ? {} : { pod }),
      bare: options.bareNames && options.domain === undefined &&
        service.namespace === options.ownNamespace,
      ...(options.take.length === 0 ? {} : { take: options.take }),
    },
  };
}

/**
 * The ports to listen on. A headless Service has no virtual IP in the cluster:
 * its name leads to the pods themselves, so programs there use the pods' port
 * numbers. Those come first where one is another port's number in the Service,
 * as nobody in the cluster translates that one.
 */
function portsOf(service: ClusterService, endpoints: readonly ServiceEndpoint[]): PlannedPort[] {
  if (service.kind !== "headless") {
    return service.ports.map((port) => plannedPort(port, port.port));
  }
  const targets = targetsOf(service.ports, endpoints);
  const ports = service.ports.flatMap((port) => {
    const other = targets.get(port.port);
    return other === undefined || other === port ? [plannedPort(port, port.port)] : [];
  });
  const taken = new Set(ports.map(({ port }) => port));
  for (const [number, port] of targets) {
    if (!taken.has(number)) ports.push(plannedPort(port, number));
  }
  return ports;
}

/** The pods' port numbers, and which of the Service's ports leads there: those the pods have, then those it asks for. */
function targetsOf(
  ports: readonly ServicePort[],
  endpoints: readonly ServiceEndpoint[],
): ReadonlyMap<number, ServicePort> {
  const targets = new Map<number, ServicePort>();
  const add = (number: number | undefined, port: ServicePort) => {
    if (number !== undefined && !targets.has(number)) targets.set(number, port);
  };
  for (const port of ports) {
    const numbers = new Set(endpoints.flatMap((endpoint) => endpoint.ports[port.name] ?? []));
    for (const number of [...numbers].sort((a, b) => a - b)) add(number, port);
  }
  for (const port of ports) {
    if (typeof port.targetPort === "number") add(port.targetPort, port);
  }
  return targets;
}

function plannedPort({ name, targetPort, appProtocol }: ServicePort, port: number): PlannedPort {
  const targetName = typeof targetPort === "string" ? targetPort : undefined;
  return { port, name, targetName, appProtocol };
}

function byHostname(endpoints: readonly ServiceEndpoint[]): [string, ServiceEndpoint[]][] {
  const named = new Map<string, ServiceEndpoint[]>();
  for (const endpoint of endpoints) {
    if (endpoint.hostname === undefined || !isLabel(endpoint.hostname)) continue;
    const list = named.get(endpoint.hostname);
    if (list) list.push(endpoint);
    else named.set(endpoint.hostname, [endpoint]);
  }
  return [...named].sort((a, b) => compare(a[0], b[0]));
}

function isChosen(service: ClusterService, options: PlanOptions): boolean {
  const isAsked = options.only.length === 0 || options.only.some((glob) => fits(service, glob));
  return isAsked && !isExcluded(service, options);
}

function isExcluded(service: ClusterService, options: PlanOptions): boolean {
  return options.exclude.some((glob) => fits(service, glob));
}

/** The globs that fit none of the Services: most likely mistyped. */
export function unfitting(
  services: Iterable<ClusterService>,
  globs: readonly string[],
): readonly string[] {
  const all = [...services];
  return globs.filter((glob) => !all.some((service) => fits(service, glob)));
}

function fits(service: ClusterService, glob: string): boolean {
  return matchesGlob(
    glob.includes("/") ? `${service.namespace}/${service.name}` : service.name,
    glob,
  );
}

/** `*` any characters, `?` one; everything else stands for itself. */
export function matchesGlob(name: string, glob: string): boolean {
  const pattern = glob.replace(/[.+^${}()|[\]\\]/g, "\\$&").replace(/\*+/g, ".*").replace(
    /\?/g,
    ".",
  );
  return new RegExp(`^${pattern}$`).test(name);
}

/** Plain code unit order: the same on every machine, whatever its locale. */
function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
