import type { Obj } from "./json.ts";

/** An answer that is a `Status` object, texts as the real API server writes them. */
export class ApiError extends Error {
  constructor(
    readonly code: number,
    readonly reason: string,
    message: string,
    readonly details?: Obj,
    readonly retryAfterSeconds?: number,
  ) {
    super(message);
  }

  toStatus(): Obj {
    return {
      kind: "Status",
      apiVersion: "v1",
      metadata: {},
      status: "Failure",
      message: this.message,
      ...(this.reason === "" ? {} : { reason: this.reason }),
      ...(this.details === undefined ? {} : { details: this.details }),
      code: this.code,
    };
  }
}

/** `pods` or `deployments.apps`. */
export function qualified(resource: string, group: string): string {
  return group === "" ? resource : `${resource}.${group}`;
}

function details(resource: string, group: string, name?: string): Obj {
  return {
    ...(name === undefined || name === "" ? {} : { name }),
    ...(group === "" ? {} : { group }),
    kind: resource,
  };
}

export function unauthorized(): ApiError {
  return new ApiError(401, "Unauthorized", "Unauthorized");
}

export function notFound(resource: string, group: string, name: string): ApiError {
  return new ApiError(
    404,
    "NotFound",
    `${qualified(resource, group)} "${name}" not found`,
    details(resource, group, name),
  );
}

export function alreadyExists(resource: string, group: string, name: string): ApiError {
  return new ApiError(
    409,
    "AlreadyExists",
    `${qualified(resource, group)} "${name}" already exists`,
    details(resource, group, name),
  );
}

export function conflict(resource: string, group: string, name: string): ApiError {
  return new ApiError(
    409,
    "Conflict",
    `Operation cannot be fulfilled on ${qualified(resource, group)} "${name}": the object has ` +
      "been modified; please apply your changes to the latest version and try again",
    details(resource, group, name),
  );
}

export function badRequest(message: string): ApiError {
  return new ApiError(400, "BadRequest", message);
}

export function methodNotAllowed(): ApiError {
  return new ApiError(
    405,
    "MethodNotAllowed",
    "the server does not allow this method on the requested resource",
    {},
  );
}

export function unsupportedMediaType(accepted: readonly string[]): ApiError {
  return new ApiError(
    415,
    "UnsupportedMediaType",
    "the body of the request was in an unknown format - accepted media types include: " +
      accepted.join(", "),
  );
}

export function notAcceptable(): ApiError {
  return new ApiError(
    406,
    "NotAcceptable",
    "only the following media types are accepted: application/json, application/json;stream=watch",
  );
}

/** Text from the watch cache (`too old resource version: %d (%d)`). */
export function expired(asked: number | string, current: number): ApiError {
  return new ApiError(410, "Expired", `too old resource version: ${asked} (${current})`);
}

export function tooLargeVersion(asked: number, current: number): ApiError {
  return new ApiError(
    504,
    "Timeout",
    `Too large resource version: ${asked}, current: ${current}`,
    {
      causes: [{ reason: "ResourceVersionTooLarge", message: "Too large resource version" }],
      retryAfterSeconds: 1,
    },
    1,
  );
}

export interface Attributes {
  readonly user: string;
  readonly verb: string;
  readonly group: string;
  readonly resource: string;
  readonly subresource: string;
  readonly namespace: string;
  readonly name: string;
  /** Set for requests outside the resource tree. */
  readonly path?: string;
}

/**
 * 403 of a check that comes after authorization, which has no wording of its own, and RBAC gives no
 * reason (pkg/registry/core/pod/rest/authorize.go; NewForbidden in apimachinery/pkg/api/errors).
 */
export function forbiddenAfterwards({ group, resource, name }: Attributes): ApiError {
  return new ApiError(
    403,
    "Forbidden",
    `${qualified(resource, group)} "${name}" is forbidden: `,
    details(resource, group, name),
  );
}

/** 403 with the wording of `k8s.io/apiserver` (handlers/responsewriters/errors.go). */
export function forbidden(attributes: Attributes): ApiError {
  const user = JSON.stringify(attributes.user);
  if (attributes.path !== undefined) {
    return new ApiError(
      403,
      "Forbidden",
      `forbidden: User ${user} cannot ${attributes.verb} path ${JSON.stringify(attributes.path)}`,
      {},
    );
  }
  const { verb, group, resource, subresource, namespace, name } = attributes;
  const full = subresource === "" ? resource : `${resource}/${subresource}`;
  const where = namespace === "" ? "at the cluster scope" : `in the namespace "${namespace}"`;
  const subject = name === ""
    ? `${qualified(resource, group)} is forbidden`
    : `${qualified(resource, group)} "${name}" is forbidden`;
  return new ApiError(
    403,
    "Forbidden",
    `${subject}: User ${user} cannot ${verb} resource "${full}" in API group "${group}" ${where}`,
    details(resource, group, name),
  );
}
