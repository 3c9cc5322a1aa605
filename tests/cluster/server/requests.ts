/** What a request says: its route, format, body and tokens. */
import { Buffer } from "node:buffer";
import type { IncomingMessage } from "node:http";
import type { Obj } from "./json.ts";
import { PROTOBUF, readProtobuf } from "./protobuf.ts";
import { findResource, type Resource } from "./resources.ts";
import { ApiError, badRequest, notAcceptable, unsupportedMediaType } from "./status.ts";

export interface Route {
  readonly resource: Resource;
  readonly namespace: string;
  readonly name: string;
  readonly subresource: string;
}

/** How a table is wanted, from the Accept header; undefined: plain objects. */
export type Format = { include: "None" | "Metadata" | "Object" } | undefined;

export function scaleOf(object: Obj): Obj {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata;
  return {
    kind: "Scale",
    apiVersion: "autoscaling/v1",
    metadata: { name, namespace, uid, resourceVersion, creationTimestamp },
    spec: { replicas: object.spec.replicas },
    status: {
      replicas: object.status?.replicas ?? 0,
      selector: Object.entries(object.spec.selector?.matchLabels ?? {})
        .map(([key, value]) => `${key}=${value}`).join(","),
    },
  };
}

export function parseToken(token: string): { id: string; at: number; rv: number } {
  try {
    return JSON.parse(Buffer.from(token, "base64url").toString());
  } catch {
    throw badRequest("continue key is not valid");
  }
}

export function parseRoute(path: string): Route | undefined {
  const parts = path.split("/").filter((part) => part !== "").map(decodeURIComponent);
  let group = "", rest: string[];
  if (parts[0] === "api") rest = parts.slice(1);
  else if (parts[0] === "apis") {
    group = parts[1] ?? "";
    rest = parts.slice(2);
  } else return undefined;
  const version = rest.shift() ?? "";
  // The old way to watch: /api/v1/watch/...
  if (rest[0] === "watch") return undefined;
  let namespace = "";
  if (
    rest[0] === "namespaces" && rest.length > 2 && rest[2] !== "status" && rest[2] !== "finalize"
  ) {
    namespace = rest[1]!;
    rest = rest.slice(2);
  }
  const [name = "", object = "", subresource = ""] = rest;
  if (name === "" || rest.length > 3) return undefined;
  const resource = findResource(group, version, name);
  if (!resource) return undefined;
  if (subresource !== "" && !resource.subresources.includes(subresource)) return undefined;
  return {
    resource,
    namespace: resource.kind === "Namespace" ? object : namespace,
    name: object,
    subresource,
  };
}

export function formatOf(request: IncomingMessage): Format {
  const accept = String(request.headers.accept ?? "*/*");
  for (const one of accept.split(",")) {
    const [type, ...parameters] = one.split(";").map((part) => part.trim());
    if (type !== "application/json" && type !== "*/*" && type !== "application/*") continue;
    if (parameters.includes("as=Table") && parameters.includes("v=v1")) {
      const include = new URL(request.url ?? "/", "https://x").searchParams.get("includeObject");
      return { include: (include ?? "Metadata") as "None" | "Metadata" | "Object" };
    }
    if (parameters.some((parameter) => parameter.startsWith("as="))) continue;
    return undefined;
  }
  throw notAcceptable();
}

export function checkKind(resource: Resource, object: Obj): void {
  if (object.kind !== undefined && object.kind !== resource.kind) {
    throw badRequest(
      `${object.kind} in version "${object.apiVersion}" cannot be handled as a ${resource.kind}`,
    );
  }
}

export function parseJson(request: IncomingMessage, body: Buffer): Obj {
  const type = String(request.headers["content-type"] ?? "application/json").split(";")[0]!.trim();
  try {
    if (type === PROTOBUF) {
      const object = readProtobuf(body);
      if (object) return object;
    }
    if (type !== "application/json") throw unsupportedMediaType(["application/json"]);
    return JSON.parse(body.toString());
  } catch (error) {
    if (error instanceof ApiError) throw error;
    throw badRequest(`couldn't get version/kind; json parse error: ${(error as Error).message}`);
  }
}

export async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks);
}
