/**
 * Just enough X.509 to make a CA and the certificates it signs: EC P-256 keys,
 * written as DER by hand, because node:crypto can read certificates but not
 * make them, and no openssl program may be needed.
 */
import { generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
import { Buffer } from "node:buffer";

export interface Certificate {
  readonly certPem: string;
  readonly keyPem: string;
  readonly key: KeyObject;
  readonly subject: Buffer;
}

export interface CertificateOptions {
  readonly commonName: string;
  readonly organizations?: readonly string[];
  /** Names and IPv4/IPv6 addresses of a server certificate. */
  readonly dnsNames?: readonly string[];
  readonly addresses?: readonly Buffer[];
  readonly usage: "ca" | "server" | "client";
  /** Absent: self-signed. */
  readonly issuer?: Certificate;
  /** Milliseconds from now; a negative value makes an expired certificate. */
  readonly lifetimeMs?: number;
}

function der(tag: number, ...parts: Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  const length = body.length < 0x80
    ? Buffer.from([body.length])
    : body.length < 0x100
    ? Buffer.from([0x81, body.length])
    : Buffer.from([0x82, body.length >> 8, body.length & 0xff]);
  return Buffer.concat([Buffer.from([tag]), length, body]);
}
const sequence = (...parts: Buffer[]) => der(0x30, ...parts);
const set = (...parts: Buffer[]) => der(0x31, ...parts);
const utf8 = (text: string) => der(0x0c, Buffer.from(text));
const octets = (bytes: Buffer) => der(0x04, bytes);
const boolean = (value: boolean) => der(0x01, Buffer.from([value ? 0xff : 0]));
const bits = (bytes: Buffer, unused = 0) => der(0x03, Buffer.from([unused]), bytes);

function integer(bytes: Buffer): Buffer {
  return der(0x02, bytes[0]! & 0x80 ? Buffer.concat([Buffer.from([0]), bytes]) : bytes);
}

function oid(text: string): Buffer {
  const [first = 0, second = 0, ...rest] = text.split(".").map(Number);
  const bytes = [first * 40 + second];
  for (const part of rest) {
    const group = [part & 0x7f];
    for (let left = part >> 7; left > 0; left >>= 7) group.unshift((left & 0x7f) | 0x80);
    bytes.push(...group);
  }
  return der(0x06, Buffer.from(bytes));
}

function time(ms: number): Buffer {
  const text = new Date(ms).toISOString().replace(/[-:T]|\.\d+/g, "");
  return der(0x17, Buffer.from(text.slice(2)));
}

const ECDSA_SHA256 = "1.2.840.10045.4.3.2";

function extension(id: string, critical: boolean, value: Buffer): Buffer {
  return sequence(oid(id), ...(critical ? [boolean(true)] : []), octets(value));
}

export function makeCertificate(options: CertificateOptions): Certificate {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const subject = sequence(
    ...(options.organizations ?? []).map((name) => set(sequence(oid("2.5.4.10"), utf8(name)))),
    set(sequence(oid("2.5.4.3"), utf8(options.commonName))),
  );
  const extensions = [];
  if (options.usage === "ca") {
    extensions.push(extension("2.5.29.19", true, sequence(boolean(true))));
    // keyCertSign, digitalSignature
    extensions.push(extension("2.5.29.15", true, bits(Buffer.from([0x84]), 2)));
  } else {
    extensions.push(extension("2.5.29.15", true, bits(Buffer.from([0x80]), 7)));
    const purpose = options.usage === "server" ? "1.3.6.1.5.5.7.3.1" : "1.3.6.1.5.5.7.3.2";
    extensions.push(extension("2.5.29.37", false, sequence(oid(purpose))));
  }
  const names = [
    ...(options.dnsNames ?? []).map((name) => der(0x82, Buffer.from(name))),
    ...(options.addresses ?? []).map((address) => der(0x87, address)),
  ];
  if (names.length > 0) extensions.push(extension("2.5.29.17", false, sequence(...names)));
  const start = Date.now() - 60_000;
  const body = sequence(
    der(0xa0, integer(Buffer.from([2]))),
    integer(Buffer.concat([Buffer.from([1]), randomBytes(15)])),
    sequence(oid(ECDSA_SHA256)),
    options.issuer?.subject ?? subject,
    sequence(
      time(Math.min(start, start + (options.lifetimeMs ?? 0) * 2)),
      time(Date.now() + (options.lifetimeMs ?? 365 * 86_400_000)),
    ),
    subject,
    publicKey.export({ type: "spki", format: "der" }),
    der(0xa3, sequence(...extensions)),
  );
  const signature = sign("sha256", body, options.issuer?.key ?? privateKey);
  const certificate = sequence(body, sequence(oid(ECDSA_SHA256)), bits(signature));
  const base64 = certificate.toString("base64").replace(/.{1,64}/g, "$&\n");
  return {
    certPem: `-----BEGIN CERTIFICATE-----\n${base64}-----END CERTIFICATE-----\n`,
    keyPem: privateKey.export({ type: "sec1", format: "pem" }).toString(),
    key: privateKey,
    subject,
  };
}
