/**
 * What svc and the helper say to each other: one JSON object a line, over the
 * helper's stdin and stdout. The helper trusts nothing it reads: every key and
 * type is checked, and nothing but these requests exists.
 */
import type { ErrorJson } from "../model/errors.ts";
import type { HostsEntry, HostsResult } from "../model/hosts.ts";

/** Longest request, in bytes: 16,384 entries of the usual length take about 2.5 MB. */
export const MAX_REQUEST_BYTES = 4 * 1024 * 1024;

export type HelperRequest =
  | { readonly id: number; readonly op: "ping" }
  /** The block of this user shall say exactly these entries. */
  | { readonly id: number; readonly op: "apply"; readonly entries: readonly HostsEntry[] }
  /** Listen on a port below 1024 and relay to the user's own listener on the same address. */
  | {
    readonly id: number;
    readonly op: "relay";
    readonly address: string;
    readonly port: number;
    readonly to: number;
  }
  | {
    readonly id: number;
    readonly op: "unrelay";
    readonly address: string;
    readonly port: number;
  };

/** The helper's first line. */
export interface HelperHello {
  readonly hello: "czfwd helper";
  readonly version: string;
  readonly pid: number;
  readonly uid: number;
  readonly euid: number;
  /** Only when asked (`--probe --kept`): another helper keeps this user's block now. */
  readonly kept?: boolean;
}

export type HelperAnswer =
  | { readonly id: number; readonly ok: true; readonly result?: HostsResult }
  | { readonly id: number; readonly ok: false; readonly error: ErrorJson }
  /** The helper gives up; it has taken the block out and ends. */
  | { readonly fatal: ErrorJson };

/** A request that is none: the helper restores the hosts file and ends. */
export class ProtocolViolation extends Error {
  override name = "ProtocolViolation";
}

/** Reads one request. Throws ProtocolViolation for anything but exactly a request. */
export function parseRequest(line: string): HelperRequest {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw new ProtocolViolation("a line is not JSON");
  }
  const request = object(value, "a request");
  const id = wholeNumber(request.id, "id", 0, Number.MAX_SAFE_INTEGER);
  switch (request.op) {
    case "ping":
      onlyKeys(request, ["id", "op"]);
      return { id, op: "ping" };
    case "apply":
      onlyKeys(request, ["id", "op", "entries"]);
      return { id, op: "apply", entries: array(request.entries, "entries").map(entryOf) };
    case "relay":
      onlyKeys(request, ["id", "op", "address", "port", "to"]);
      return {
        id,
        op: "relay",
        address: text(request.address, "address", 15),
        port: wholeNumber(request.port, "port", 1, 65535),
        to: wholeNumber(request.to, "to", 1, 65535),
      };
    case "unrelay":
      onlyKeys(request, ["id", "op", "address", "port"]);
      return {
        id,
        op: "unrelay",
        address: text(request.address, "address", 15),
        port: wholeNumber(request.port, "port", 1, 65535),
      };
    default:
      throw new ProtocolViolation("an unknown operation was asked for");
  }
}

const ENTRY_KEYS = [
  "address",
  "service",
  "namespace",
  "domain",
  "qualifiedOnly",
  "pod",
  "bare",
  "omit",
  "take",
];

function entryOf(value: unknown): HostsEntry {
  const entry = object(value, "an entry");
  onlyKeys(entry, ENTRY_KEYS);
  return {
    address: text(entry.address, "address", 15),
    service: text(entry.service, "service", 63),
    namespace: text(entry.namespace, "namespace", 63),
    domain: text(entry.domain, "domain", 253),
    bare: flag(entry.bare, "bare"),
    ...(entry.qualifiedOnly === undefined
      ? {}
      : { qualifiedOnly: flag(entry.qualifiedOnly, "qualifiedOnly") }),
    ...(entry.pod === undefined ? {} : { pod: text(entry.pod, "pod", 63) }),
    ...(entry.omit === undefined ? {} : { omit: names(entry.omit, "omit") }),
    ...(entry.take === undefined ? {} : { take: names(entry.take, "take") }),
  };
}

function object(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new ProtocolViolation(`${what} is not an object`);
  }
  return value as Record<string, unknown>;
}

function onlyKeys(value: Record<string, unknown>, allowed: readonly string[]): void {
  for (const key of Object.keys(value)) {
    if (!allowed.includes(key)) throw new ProtocolViolation("a request has an unknown field");
  }
}

function array(value: unknown, what: string): unknown[] {
  if (!Array.isArray(value)) throw new ProtocolViolation(`${what} is not a list`);
  return value;
}

function text(value: unknown, what: string, longest: number): string {
  if (typeof value !== "string" || value.length > longest) {
    throw new ProtocolViolation(`${what} is not a text of at most ${longest} characters`);
  }
  return value;
}

function names(value: unknown, what: string): string[] {
  return array(value, what).map((name) => text(name, what, 253));
}

function flag(value: unknown, what: string): boolean {
  if (typeof value !== "boolean") throw new ProtocolViolation(`${what} is neither true nor false`);
  return value;
}

function wholeNumber(value: unknown, what: string, least: number, most: number): number {
  if (!Number.isSafeInteger(value) || (value as number) < least || (value as number) > most) {
    throw new ProtocolViolation(`${what} is not a whole number from ${least} to ${most}`);
  }
  return value as number;
}
