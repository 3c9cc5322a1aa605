import { Buffer } from "node:buffer";
import { type Certificate, makeCertificate } from "../cluster/server/x509.ts";

export interface KeyPair {
  /** PEM. */
  readonly cert: string;
  readonly key: string;
}

/** A throw-away certificate authority. */
export class TestAuthority {
  readonly cert: string;
  readonly #issuer: Certificate;

  constructor(commonName = "test authority") {
    this.#issuer = makeCertificate({ commonName, usage: "ca" });
    this.cert = this.#issuer.certPem;
  }

  /** A server's certificate for these names and IPv4 addresses; `expired` for one of the past. */
  server(names: readonly string[], options: { expired?: boolean } = {}): KeyPair {
    const isAddress = (name: string) => /^[\d.]+$/.test(name);
    const made = makeCertificate({
      commonName: names[0]!,
      usage: "server",
      issuer: this.#issuer,
      dnsNames: names.filter((name) => !isAddress(name)),
      addresses: names.filter(isAddress).map((name) => Buffer.from(name.split(".").map(Number))),
      ...(options.expired ? { lifetimeMs: -3_600_000 } : {}),
    });
    return { cert: made.certPem, key: made.keyPem };
  }

  /** A server's certificate that is an authority's own, as some small clusters have. */
  static selfSigned(address: string): KeyPair {
    const made = makeCertificate({
      commonName: address,
      usage: "ca",
      addresses: [Buffer.from(address.split(".").map(Number))],
    });
    return { cert: made.certPem, key: made.keyPem };
  }

  client(commonName: string): KeyPair {
    const made = makeCertificate({ commonName, usage: "client", issuer: this.#issuer });
    return { cert: made.certPem, key: made.keyPem };
  }
}
