/**
 * Reads the protobuf bodies typed clients send since kubectl 1.32 (`create
 * configmap`, `auth can-i`, ...): field numbers from the generated.proto files
 * of k8s.io/api. Answers stay JSON, which these clients accept, too.
 */
import { Buffer } from "node:buffer";
import type { Obj } from "./json.ts";

export const PROTOBUF = "application/vnd.kubernetes.protobuf";
const MAGIC = Buffer.from("k8s\0", "latin1");

/** What a field is: text, bytes (base64 in JSON), whole number, a map of either, or a message. */
type Kind = "text" | "bytes" | "number" | "map" | "byteMap" | Schema;
interface Schema {
  readonly [field: number]: readonly [name: string, kind: Kind];
}

const METADATA: Schema = {
  1: ["name", "text"],
  2: ["generateName", "text"],
  3: ["namespace", "text"],
  6: ["resourceVersion", "text"],
  11: ["labels", "map"],
  12: ["annotations", "map"],
};

const SCHEMAS: Record<string, Schema> = {
  ConfigMap: { 1: ["metadata", METADATA], 2: ["data", "map"], 3: ["binaryData", "byteMap"] },
  Secret: {
    1: ["metadata", METADATA],
    2: ["data", "byteMap"],
    3: ["type", "text"],
    4: ["stringData", "map"],
  },
  Namespace: { 1: ["metadata", METADATA] },
  DeleteOptions: { 1: ["gracePeriodSeconds", "number"], 4: ["propagationPolicy", "text"] },
  SelfSubjectAccessReview: {
    1: ["metadata", METADATA],
    2: ["spec", {
      1: ["resourceAttributes", {
        1: ["namespace", "text"],
        2: ["verb", "text"],
        3: ["group", "text"],
        4: ["version", "text"],
        5: ["resource", "text"],
        6: ["subresource", "text"],
        7: ["name", "text"],
      }],
      2: ["nonResourceAttributes", { 1: ["path", "text"], 2: ["verb", "text"] }],
    }],
  },
  SelfSubjectReview: { 1: ["metadata", METADATA] },
  SelfSubjectRulesReview: {
    1: ["metadata", METADATA],
    2: ["spec", { 1: ["namespace", "text"] }],
  },
};

/** Field by field: number, and a whole number or bytes. */
function* fields(bytes: Buffer): Generator<[number, number | Buffer]> {
  let at = 0;
  const varint = () => {
    let value = 0, factor = 1;
    for (;;) {
      const byte = bytes[at++];
      if (byte === undefined) throw new Error("proto: unexpected EOF");
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
      factor *= 128;
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    const wire = tag & 7, number = Math.floor(tag / 8);
    if (wire === 0) yield [number, varint()];
    else if (wire === 2) {
      const length = varint();
      at += length;
      if (at > bytes.length) throw new Error("proto: unexpected EOF");
      yield [number, bytes.subarray(at - length, at)];
    } else if (wire === 1 || wire === 5) at += wire === 1 ? 8 : 4;
    else throw new Error(`proto: wrong wire type ${wire}`);
  }
}

function message(bytes: Buffer, schema: Schema): Obj {
  const result: Obj = {};
  for (const [number, value] of fields(bytes)) {
    const [name, kind] = schema[number] ?? [];
    if (name === undefined || kind === undefined) continue;
    if (typeof value === "number") {
      if (kind === "number") result[name] = value;
    } else if (kind === "text") {
      // Go writes empty strings; JSON leaves them out.
      if (value.length > 0) result[name] = value.toString();
    } else if (kind === "bytes") result[name] = value.toString("base64");
    else if (kind === "map" || kind === "byteMap") {
      const entry = message(value, { 1: ["key", "text"], 2: ["value", "bytes"] });
      const text = kind === "map"
        ? Buffer.from(entry.value ?? "", "base64").toString()
        : entry.value ?? "";
      result[name] = { ...result[name], [entry.key ?? ""]: text };
    } else if (kind !== "number") result[name] = message(value, kind);
  }
  return result;
}

/** The object of a body; undefined for kinds not known here. Throws for broken bytes. */
export function readProtobuf(body: Buffer): Obj | undefined {
  if (!body.subarray(0, 4).equals(MAGIC)) throw new Error("proto: wrong prefix");
  const unknown = message(body.subarray(4), {
    1: ["type", { 1: ["apiVersion", "text"], 2: ["kind", "text"] }],
    2: ["raw", "bytes"],
  });
  const schema = SCHEMAS[unknown.type?.kind ?? ""];
  return schema &&
    { ...unknown.type, ...message(Buffer.from(unknown.raw ?? "", "base64"), schema) };
}
