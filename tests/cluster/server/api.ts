/** The REST API: routes, verbs, paging, formats. */
import { randomUUID } from "node:crypto";
import process from "node:process";
import { Buffer } from "node:buffer";
import type { IncomingMessage, ServerResponse } from "node:http";
import { gzipSync } from "node:zlib";
import type { Access, Identity } from "./auth.ts";
import type { Rule } from "./config.ts";
import type { Controllers } from "./controllers.ts";
import { discovery } from "./discovery.ts";
import type { Obj } from "./json.ts";
import type { Kubelet } from "./kubelet.ts";
import { applyPatch } from "./patch.ts";
import { apiVersion, type Resource, resourceNamed, REVIEWS } from "./resources.ts";
import {
  checkKind,
  type Format,
  formatOf,
  parseJson,
  parseRoute,
  parseToken,
  readBody,
  type Route,
  scaleOf,
} from "./requests.ts";
import { fieldMatcher, labelMatcher, type Matcher } from "./selectors.ts";
import {
  ApiError,
  badRequest,
  expired,
  forbiddenAfterwards,
  methodNotAllowed,
  notFound,
  tooLargeVersion,
} from "./status.ts";
import type { Store } from "./store.ts";
import { complete, table } from "./table.ts";
import type { Watches } from "./watches.ts";

const PODS = resourceNamed("pods");
/** The API server compresses answers above this size when asked to. */
const GZIP_FROM = 128 * 1024;

export interface ApiOptions {
  readonly store: Store;
  readonly access: Access;
  readonly watches: Watches;
  readonly controllers: Controllers;
  readonly kubelet: Kubelet;
  readonly version: string;
  readonly address: () => string;
  readonly create: (resource: Resource, object: Obj) => Obj;
}

export class Api {
  /** Requests by `VERB path`, counted since the start or the last reset. */
  readonly counters = new Map<string, number>();
  #snapshots = new Map<string, { objects: Obj[]; version: number }>();

  constructor(readonly options: ApiOptions) {}

  /** Continue tokens are forgotten: the next page is 410. */
  forgetPages(): void {
    this.#snapshots.clear();
  }

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.setHeader("audit-id", randomUUID());
    response.setHeader("cache-control", "no-cache, private");
    const url = new URL(request.url ?? "/", "https://kubernetes");
    const key = `${request.method} ${url.pathname}`;
    this.counters.set(key, (this.counters.get(key) ?? 0) + 1);
    try {
      const body = await readBody(request);
      const identity = this.options.access.identify(request.headers);
      await this.#route(identity, request, response, url, body);
    } catch (error) {
      if (!(error instanceof ApiError)) {
        process.stderr.write(`test cluster: ${(error as Error).stack}\n`);
      }
      if (response.headersSent) return void response.destroy();
      const status = error instanceof ApiError
        ? error
        : new ApiError(500, "InternalError", `${error}`);
      if (status.retryAfterSeconds) response.setHeader("retry-after", status.retryAfterSeconds);
      this.#json(request, response, status.code, JSON.stringify(status.toStatus()));
    }
  }

  #json(request: IncomingMessage, response: ServerResponse, code: number, text: string): void {
    let body: Buffer = Buffer.from(text);
    const encodings = String(request.headers["accept-encoding"] ?? "");
    if (body.length > GZIP_FROM && /\bgzip\b/.test(encodings)) {
      body = gzipSync(body, { level: 1 });
      response.setHeader("content-encoding", "gzip");
      response.setHeader("vary", "Accept-Encoding");
    }
    response.writeHead(code, { "content-type": "application/json", "content-length": body.length });
    response.end(request.method === "HEAD" ? undefined : body);
  }

  #route(
    identity: Identity,
    request: IncomingMessage,
    response: ServerResponse,
    url: URL,
    body: Buffer,
  ): void | Promise<void> {
    const { access } = this.options;
    const route = parseRoute(url.pathname);
    const method = request.method ?? "GET";
    if (!route) {
      access.demand(identity, {
        verb: method.toLowerCase(),
        path: url.pathname,
        group: "",
        resource: "",
        subresource: "",
        namespace: "",
        name: "",
      });
      if (/^\/(healthz|livez|readyz)/.test(url.pathname)) return void response.end("ok");
      const found = discovery(url.pathname, this.options.version, this.options.address());
      if (found) return this.#json(request, response, 200, JSON.stringify(found));
      response.writeHead(404, { "content-type": "text/plain; charset=utf-8" });
      response.end("404 page not found\n");
      return;
    }
    const { resource, namespace, name, subresource } = route;
    const watching = ["1", "true"].includes(url.searchParams.get("watch") ?? "");
    const verb = method === "GET" || method === "HEAD"
      ? name !== "" ? "get" : watching ? "watch" : "list"
      : method === "POST"
      ? "create"
      : method === "PUT"
      ? "update"
      : method === "PATCH"
      ? "patch"
      : method === "DELETE"
      ? name !== "" ? "delete" : "deletecollection"
      : "";
    const attributes = {
      verb,
      group: resource.group,
      resource: resource.name,
      subresource,
      namespace: resource.namespaced ? namespace : "",
      name,
    };
    access.demand(identity, attributes);
    if (subresource === "portforward") {
      // Since 1.35 the WebSocket GET needs `create`, too (AuthorizePodWebsocketUpgradeCreatePermission).
      if (
        verb === "get" && Number(this.options.version.split(".")[1]) >= 35 &&
        !access.allows(identity, { ...attributes, verb: "create" })
      ) throw forbiddenAfterwards({ ...attributes, user: identity.user });
      return this.#portForward(request, response, route, verb);
    }
    if (REVIEWS.includes(resource)) {
      if (verb !== "create") throw methodNotAllowed();
      return this.#review(identity, request, response, resource, parseJson(request, body));
    }
    switch (verb) {
      case "get":
        return this.#get(request, response, route);
      case "list":
        return this.#list(request, response, route, url);
      case "watch":
        return this.#watch(request, response, route, url);
      case "create":
        return this.#create(request, response, route, parseJson(request, body));
      case "update":
        return this.#update(request, response, route, parseJson(request, body));
      case "patch":
        return this.#patch(request, response, route, body);
      case "delete":
      case "deletecollection":
        return this.#delete(request, response, route, url, body);
      default:
        throw methodNotAllowed();
    }
  }

  #find({ resource, namespace, name }: Route): Obj {
    const object = this.options.store.get(resource, resource.namespaced ? namespace : "", name);
    if (!object) throw notFound(resource.name, resource.group, name);
    return object;
  }

  #one(request: IncomingMessage, response: ServerResponse, route: Route, object: Obj, code = 200) {
    const { resource, subresource } = route;
    if (subresource === "scale") {
      return this.#json(request, response, code, JSON.stringify(scaleOf(object)));
    }
    const format = formatOf(request);
    const text = format
      ? JSON.stringify(this.#table(resource, [object], {
        resourceVersion: object.metadata.resourceVersion,
      }, format))
      : this.options.store.fullText(resource, object);
    this.#json(request, response, code, text);
  }

  #table(
    resource: Resource,
    objects: readonly Obj[],
    metadata: Obj,
    format: NonNullable<Format>,
    headers = true,
  ): Obj {
    return table(resource, objects, metadata, {
      headers,
      include: format.include,
      text: (object) => complete(resource, object),
    });
  }

  #get(request: IncomingMessage, response: ServerResponse, route: Route): void {
    this.#one(request, response, route, this.#find(route));
  }

  #matcher({ resource }: Route, url: URL): Matcher {
    const labels = labelMatcher(url.searchParams.get("labelSelector") ?? "");
    const fields = fieldMatcher(url.searchParams.get("fieldSelector") ?? "", [
      "metadata.name",
      ...(resource.namespaced ? ["metadata.namespace"] : []),
      ...resource.fields,
    ]);
    return (object) => labels(object) && fields(object);
  }

  #list(request: IncomingMessage, response: ServerResponse, route: Route, url: URL): void {
    const { resource, namespace } = route;
    const { store } = this.options;
    const asked = Number(url.searchParams.get("resourceVersion") ?? 0);
    if (Number.isNaN(asked)) throw badRequest("invalid resource version");
    if (asked > store.version) throw tooLargeVersion(asked, store.version);
    const limit = Number(url.searchParams.get("limit") ?? 0);
    const token = url.searchParams.get("continue") ?? "";
    let objects: Obj[], version: number, from = 0;
    if (token === "") {
      const matches = this.#matcher(route, url);
      objects = store.list(resource, namespace).filter(matches);
      version = store.version;
    } else {
      const { id, at, rv } = parseToken(token);
      const snapshot = this.#snapshots.get(id);
      if (!snapshot) {
        throw new ApiError(
          410,
          "Expired",
          "The provided continue parameter is too old to display a consistent list result. You " +
            "can start a new list without the continue parameter, or use the continue token in " +
            "this response to retrieve the remainder of the results. " +
            expired(rv, store.version).message,
        );
      }
      ({ objects, version } = snapshot);
      from = at;
    }
    let metadata: Obj = { resourceVersion: String(version) };
    let page = objects;
    if (limit > 0 && from + limit < objects.length) {
      const id = token === "" ? randomUUID() : parseToken(token).id;
      this.#snapshots.set(id, { objects, version });
      while (this.#snapshots.size > 50) {
        this.#snapshots.delete(this.#snapshots.keys().next().value!);
      }
      const next = JSON.stringify({ v: "meta.k8s.io/v1", rv: version, id, at: from + limit });
      metadata = {
        ...metadata,
        continue: Buffer.from(next).toString("base64url"),
        remainingItemCount: objects.length - from - limit,
      };
      page = objects.slice(from, from + limit);
    } else if (from > 0) page = objects.slice(from);
    const format = formatOf(request);
    if (format) {
      const text = JSON.stringify(this.#table(resource, page, metadata, format));
      return this.#json(request, response, 200, text);
    }
    const items = page.map((object) => store.text(object)).join(",");
    this.#json(
      request,
      response,
      200,
      `{"kind":"${resource.kind}List","apiVersion":"${apiVersion(resource)}",` +
        `"metadata":${JSON.stringify(metadata)},"items":[${items}]}\n`,
    );
  }

  #watch(request: IncomingMessage, response: ServerResponse, route: Route, url: URL): void {
    const { resource, namespace } = route;
    const { store } = this.options;
    const query = (name: string) => url.searchParams.get(name) ?? "";
    const truth = (name: string) => ["1", "true"].includes(query(name));
    const version = query("resourceVersion");
    const seconds = Number(query("timeoutSeconds"));
    const initial = truth("sendInitialEvents");
    if (initial && query("resourceVersionMatch") !== "NotOlderThan") {
      throw new ApiError(
        422,
        "Invalid",
        'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: sendInitialEvents ' +
          "requires setting resourceVersionMatch to NotOlderThan",
        { group: "meta.k8s.io", kind: "ListOptions" },
      );
    }
    const format = formatOf(request);
    this.options.watches.start(
      {
        resource,
        namespace,
        matches: this.#matcher(route, url),
        version: version === "" ? undefined : Number(version),
        sendInitialEvents: initial,
        bookmarks: truth("allowWatchBookmarks"),
        timeoutMs: seconds > 0 ? seconds * 1000 : undefined,
        encode: (object, first) =>
          format
            ? JSON.stringify(this.#table(
              resource,
              [object],
              { resourceVersion: object.metadata.resourceVersion },
              format,
              first,
            ))
            : store.fullText(resource, object),
      },
      response,
      "application/json",
    );
  }

  #create(request: IncomingMessage, response: ServerResponse, route: Route, object: Obj): void {
    const { resource, namespace, name, subresource } = route;
    if (name !== "" || subresource !== "") throw methodNotAllowed();
    checkKind(resource, object);
    if (resource.namespaced) {
      if (namespace === "") throw methodNotAllowed();
      const own = object.metadata?.namespace ?? namespace;
      if (own !== namespace) {
        throw badRequest(
          "the namespace of the provided object does not match the namespace sent on the request",
        );
      }
      if (!this.options.store.get(resourceNamed("namespaces"), "", namespace)) {
        throw notFound("namespaces", "", namespace);
      }
    }
    const metadata = { ...object.metadata, ...(resource.namespaced ? { namespace } : {}) };
    const made = this.options.create(resource, { ...object, metadata });
    this.#one(request, response, route, made, 201);
  }

  #write(route: Route, before: Obj, after: Obj, expected: string | undefined): Obj {
    const { resource, subresource } = route;
    if (resource === PODS && before.metadata.deletionTimestamp && subresource === "") {
      after = { ...after, spec: before.spec };
    }
    const changed = JSON.stringify(before.spec) !== JSON.stringify(after.spec);
    const { kind: _k, apiVersion: _a, ...rest } = after;
    const metadata = {
      ...rest.metadata,
      name: before.metadata.name,
      ...(before.metadata.namespace ? { namespace: before.metadata.namespace } : {}),
      uid: before.metadata.uid,
      creationTimestamp: before.metadata.creationTimestamp,
      ...(before.metadata.deletionTimestamp
        ? { deletionTimestamp: before.metadata.deletionTimestamp }
        : {}),
      ...(before.metadata.generation === undefined
        ? {}
        : { generation: before.metadata.generation + (changed ? 1 : 0) }),
    };
    const status = subresource === "status" ? rest.status : before.status;
    return this.options.store.update(
      resource,
      { ...rest, metadata, ...(status === undefined ? {} : { status }) },
      expected,
    );
  }

  #update(request: IncomingMessage, response: ServerResponse, route: Route, object: Obj): void {
    const before = this.#find(route);
    if (route.subresource === "scale") {
      const spec = { ...before.spec, replicas: object.spec?.replicas ?? 0 };
      const after = this.#write(
        { ...route, subresource: "" },
        before,
        { ...before, spec },
        undefined,
      );
      return this.#one(request, response, route, after);
    }
    checkKind(route.resource, object);
    if (object.metadata?.name !== route.name) {
      throw badRequest(
        `the name of the object (${object.metadata?.name}) does not match the name on the URL (${route.name})`,
      );
    }
    const version = object.metadata.resourceVersion;
    const after = this.#write(route, before, object, version === "" ? undefined : version);
    this.#one(request, response, route, after);
  }

  #patch(request: IncomingMessage, response: ServerResponse, route: Route, body: Buffer): void {
    const before = this.#find(route);
    const patch = JSON.parse(body.toString());
    const type = String(request.headers["content-type"] ?? "");
    if (route.subresource === "scale") {
      const { spec } = applyPatch(type, scaleOf(before), patch);
      const after = this.#write({ ...route, subresource: "" }, before, {
        ...before,
        spec: { ...before.spec, replicas: spec.replicas },
      }, undefined);
      return this.#one(request, response, route, after);
    }
    const expected = patch.metadata?.resourceVersion;
    const after = this.#write(route, before, applyPatch(type, before, patch), expected);
    this.#one(request, response, route, after);
  }

  #delete(
    request: IncomingMessage,
    response: ServerResponse,
    route: Route,
    url: URL,
    body: Buffer,
  ): void {
    const { resource, namespace, name } = route;
    const { store, controllers } = this.options;
    const options: Obj = body.length > 0 ? parseJson(request, body) : {};
    const asked = options.gracePeriodSeconds ?? url.searchParams.get("gracePeriodSeconds");
    const grace = asked === undefined || asked === null ? undefined : Number(asked);
    if (name === "") {
      const matches = this.#matcher(route, url);
      const objects = store.list(resource, namespace).filter(matches);
      for (const object of objects) this.#remove(resource, object, grace);
      const items = objects.map((object) => store.text(object)).join(",");
      return this.#json(
        request,
        response,
        200,
        `{"kind":"${resource.kind}List","apiVersion":"${apiVersion(resource)}",` +
          `"metadata":{"resourceVersion":"${store.version}"},"items":[${items}]}`,
      );
    }
    const object = this.#find(route);
    if (resource === PODS) {
      controllers.deletePod(object, grace);
      const after = store.get(PODS, namespace, name) ?? object;
      return this.#one(request, response, route, after);
    }
    this.#remove(resource, object, grace);
    this.#json(
      request,
      response,
      200,
      JSON.stringify({
        kind: "Status",
        apiVersion: "v1",
        metadata: {},
        status: "Success",
        details: {
          name,
          ...(resource.group === "" ? {} : { group: resource.group }),
          kind: resource.name,
          uid: object.metadata.uid,
        },
      }),
    );
  }

  #remove(resource: Resource, object: Obj, grace?: number): void {
    const { store, controllers } = this.options;
    if (resource === PODS) return controllers.deletePod(object, grace);
    if (resource.kind === "Namespace") controllers.deleteNamespace(object.metadata.name);
    store.remove(resource, object.metadata.namespace ?? "", object.metadata.name);
  }

  #review(
    identity: Identity,
    request: IncomingMessage,
    response: ServerResponse,
    resource: Resource,
    object: Obj,
  ): void {
    const { access } = this.options;
    let status: Obj;
    if (resource.kind === "SelfSubjectReview") {
      const { user, groups } = identity;
      status = { userInfo: { username: user, groups } };
    } else if (resource.kind === "SelfSubjectAccessReview") {
      const ask = object.spec?.resourceAttributes;
      const path = object.spec?.nonResourceAttributes;
      const allowed = access.allows(identity, {
        verb: ask?.verb ?? path?.verb ?? "",
        group: ask?.group ?? "",
        resource: ask?.resource ?? "",
        subresource: ask?.subresource ?? "",
        namespace: ask?.namespace ?? "",
        name: ask?.name ?? "",
        ...(path ? { path: path.path } : {}),
      });
      status = { allowed, ...(allowed ? { reason: "RBAC: allowed" } : {}) };
    } else {
      const namespace = object.spec?.namespace ?? "";
      const rules = access.rulesOf(identity).filter((rule: Rule) =>
        !rule.namespaces || rule.namespaces.includes(namespace) || rule.namespaces.includes("*")
      );
      status = {
        resourceRules: rules.map((rule) => ({
          verbs: rule.verbs,
          apiGroups: rule.apiGroups ?? ["*"],
          resources: rule.resources,
          ...(rule.resourceNames ? { resourceNames: rule.resourceNames } : {}),
        })),
        nonResourceRules: [{ verbs: ["get"], nonResourceURLs: ["/api", "/api/*", "/version"] }],
        incomplete: false,
      };
    }
    const metadata = resource.kind === "SelfSubjectReview"
      ? { creationTimestamp: new Date().toISOString().replace(/\.\d+/, "") }
      : {};
    const answer = { ...complete(resource, object), metadata, status };
    this.#json(request, response, 201, JSON.stringify(answer));
  }

  /** Asked by a gateway: may this connection be, and where does it go. */
  async #portForward(
    request: IncomingMessage,
    response: ServerResponse,
    route: Route,
    verb: string,
  ): Promise<void> {
    const kind = request.headers["x-test-cluster-upgrade"];
    const pod = this.#find({ ...route, subresource: "" });
    if (verb !== "create" && verb !== "get") throw methodNotAllowed();
    if (kind !== "spdy" && kind !== "websocket") throw badRequest("Upgrade request required");
    if (!pod.spec.nodeName) throw badRequest(`pod ${route.name} does not have a host assigned`);
    const target = await this.options.kubelet.target(pod);
    if (!target || pod.status.phase !== "Running") {
      // Not recorded, a guess after the kubelet's wording; kubectl never gets here, because it
      // looks at the phase first.
      throw new ApiError(
        500,
        "InternalError",
        `error upgrading connection: unable to upgrade connection: pod not found ` +
          `("${route.name}_${route.namespace}")`,
      );
    }
    response.setHeader("x-test-cluster-target", "1");
    this.#json(request, response, 200, JSON.stringify(target));
  }
}
