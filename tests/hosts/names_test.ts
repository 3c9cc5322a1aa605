import assert from "node:assert/strict";
import fc from "fast-check";
import type { HostsEntry } from "../../src/model/hosts.ts";
import { bytesOf } from "../../src/hosts/bytes.ts";
import {
  composeBlock,
  isLocalServiceAddress,
  namesOf,
  surroundingsOf,
} from "../../src/hosts/names.ts";
import { entry } from "./support/helper.ts";

const NOBODY = surroundingsOf(new Uint8Array(), 1000);

function leftOut(entries: HostsEntry[], hosts = "", hostName = "laptop.home.example") {
  const { leftOut } = composeBlock(entries, surroundingsOf(bytesOf(hosts), 1000), hostName);
  return Object.fromEntries(leftOut.map(({ name, reason }) => [name, reason]));
}

Deno.test("namesOf composes the names of the guide, and the bare one where asked", () => {
  const three = ["web.demo", "web.demo.svc", "web.demo.svc.cluster.local"];
  assert.deepEqual(namesOf(entry("web")), three);
  assert.deepEqual(namesOf(entry("web", { bare: true })), [...three, "web"]);
  assert.deepEqual(namesOf(entry("db", { pod: "db-0" })), [
    "db-0.db.demo",
    "db-0.db.demo.svc",
    "db-0.db.demo.svc.cluster.local",
  ]);
  assert.equal(namesOf(entry("db", { pod: "db-0", bare: true })).at(-1), "db-0.db");
  assert.deepEqual(
    namesOf(entry("web", { qualifiedOnly: true, domain: "staging", bare: true })),
    ["web.demo.svc.staging"],
  );
});

Deno.test("isLocalServiceAddress takes 127.1.0.0/16 in its one spelling", () => {
  for (const good of ["127.1.0.0", "127.1.31.1", "127.1.255.255"]) {
    assert.ok(isLocalServiceAddress(good), good);
  }
  for (
    const bad of [
      "127.0.0.1",
      "127.1.256.1",
      "127.1.1",
      "127.1.01.1",
      "127.1.1.1 ",
      "127.1.1.1\n",
      "0x7f.1.1.1",
      "::ffff:127.1.1.1",
      "127.1.1.1.1",
      "",
      "128.1.1.1",
    ]
  ) assert.ok(!isLocalServiceAddress(bad), bad);
});

Deno.test("composeBlock never makes a line from anything but labels", () => {
  const anything = fc.oneof(
    fc.string({ maxLength: 70 }),
    fc.constantFrom("web", "a.b", "a\n127.0.0.1 x", "-a", "a-", "A", "ä", "", " ", "x".repeat(64)),
  );
  fc.assert(
    fc.property(anything, anything, anything, fc.boolean(), (service, namespace, domain, bare) => {
      let lines: readonly { names: readonly string[] }[] = [];
      try {
        ({ lines } = composeBlock([entry(service, { namespace, domain, bare })], NOBODY, "me"));
      } catch (error) {
        assert.equal((error as { code?: string }).code, "usage");
      }
      for (const name of lines.flatMap((line) => line.names)) {
        assert.match(name, /^[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?$/);
        assert.ok(name.length <= 253);
      }
    }),
    { numRuns: 2_000 },
  );
});

Deno.test("composeBlock leaves out what is not ours to name, each with the reason", () => {
  const reasons = leftOut([
    entry("google", { namespace: "com", address: "127.1.1.1" }),
    entry("google", { namespace: "de", address: "127.1.1.2" }),
    entry("laptop", { bare: true, address: "127.1.1.3" }),
    entry("localhost", { bare: true, address: "127.1.1.4" }),
    entry("printer", { namespace: "local", address: "127.1.1.5" }),
    entry("10", { bare: true, namespace: "1", address: "127.1.1.6" }),
    entry("db", { address: "127.1.1.7" }),
    entry("db", { address: "127.1.1.8" }),
    entry("theirs", { address: "127.1.40.1" }),
    entry("cache", { bare: true, address: "127.1.1.9" }),
  ], "10.0.0.1 CACHE # mine\n# czctl begin 7\n127.1.40.1 some.thing\n# czctl end 7\n");
  assert.match(reasons["google.com"]!, /under \.com belong to others/);
  assert.match(reasons["google.de"]!, /under \.de/);
  assert.match(reasons["laptop"]!, /own name/);
  assert.match(reasons["localhost"]!, /this machine itself/);
  assert.match(reasons["printer.local"]!, /under \.local/);
  assert.match(reasons["10"]!, /reads like an address/);
  assert.match(reasons["10.1"]!, /reads like an address/);
  assert.match(reasons["db.demo.svc"]!, /already points at 127\.1\.1\.7/);
  assert.match(reasons["theirs.demo"]!, /belongs to a session of user 7/);
  assert.match(reasons["cache"]!, /line 1 of \/etc\/hosts/);
  assert.equal(reasons["google.com.svc"], undefined);
});

Deno.test("composeBlock judges every name by its ending, those of pods too", () => {
  const reasons = leftOut([
    entry("google", { pod: "www", namespace: "com", address: "127.1.1.1" }),
    entry("google", { pod: "metadata", namespace: "internal", address: "127.1.1.2" }),
    entry("com", { pod: "google", bare: true, address: "127.1.1.3" }),
    entry("db", { pod: "com", namespace: "shop", address: "127.1.1.4" }),
    entry("instance-data", { bare: true, address: "127.1.1.5" }),
    entry("x", { pod: "y", namespace: "localhost", address: "127.1.1.6" }),
    // A domain that would make the short name look qualified.
    entry("google", { pod: "mail", namespace: "com", domain: "google.com", address: "127.1.1.7" }),
  ]);
  assert.deepEqual(Object.keys(reasons).sort(), [
    "google.com",
    "instance-data",
    "mail.google.com",
    "metadata.google.internal",
    "www.google.com",
    "y.x.localhost",
  ]);
  assert.match(reasons["www.google.com"]!, /under \.com belong to others/);
});

Deno.test("no entry of any labels gives a short name under a public ending", () => {
  const label = fc.constantFrom("www", "google", "com", "svc", "uk", "co", "internal", "shop");
  fc.assert(
    fc.property(
      label,
      fc.option(label, { nil: undefined }),
      label,
      fc.array(label, { minLength: 1, maxLength: 2 }),
      fc.boolean(),
      (service, pod, namespace, domain, bare) => {
        const more = pod === undefined ? {} : { pod };
        try {
          const asked = entry(service, { ...more, namespace, domain: domain.join("."), bare });
          const all = composeBlock([asked], NOBODY, "me").lines.flatMap((line) => line.names);
          for (const name of all.filter((name) => name !== namesOf(asked)[2])) {
            assert.doesNotMatch(name, /\.(com|uk|co|internal)$/);
          }
          assert.doesNotMatch(domain.join("."), /^(com|internal|((com|co)\.)?(uk|co))$/);
        } catch (error) {
          assert.equal((error as { code?: string }).code, "usage", String(error));
        }
      },
    ),
    { numRuns: 2_000 },
  );
});

Deno.test("composeBlock refuses a domain that is a public ending", () => {
  for (const domain of ["com", "de", "io", "internal", "co.uk", "com.au", "local"]) {
    assert.throws(() => composeBlock([entry("x", { domain })], NOBODY, "me"), /is public/, domain);
  }
  for (const domain of ["cluster.local", "staging", "k8s.example.com", "example.co.uk"]) {
    assert.deepEqual(leftOut([entry("x", { domain })]), {}, domain);
  }
});

Deno.test("composeBlock takes namespaces that only look like a country, and what svc omits", () => {
  assert.deepEqual(leftOut([entry("web", { namespace: "ui" })]), {});
  assert.match(leftOut([entry("web", { namespace: "qa" })])["web.qa"]!, /under \.qa/);
  const { lines } = composeBlock([entry("web", { omit: ["web.demo"] })], NOBODY, "me");
  assert.deepEqual(lines[0]?.names, ["web.demo.svc", "web.demo.svc.cluster.local"]);
});

Deno.test("composeBlock joins two entries of one address, and ignores its own block", () => {
  const own = "# czctl begin 1000\n127.1.31.1 web.demo\n# czctl end 1000\n";
  const entries = [entry("web"), entry("web", { bare: true })];
  const composed = composeBlock(entries, surroundingsOf(bytesOf(own), 1000), "me");
  assert.deepEqual(composed, {
    lines: [{
      address: "127.1.31.1",
      names: ["web.demo", "web.demo.svc", "web.demo.svc.cluster.local", "web"],
    }],
    leftOut: [],
  });
});

Deno.test("composeBlock refuses more than a block can hold", () => {
  const many = Array.from({ length: 16_385 }, () => entry("web"));
  assert.throws(() => composeBlock(many, NOBODY, "me"), /16385 entries are more than 16384/);
  const long = "a".repeat(63);
  const large = Array.from(
    { length: 16_384 },
    (_, at) =>
      entry(long, { address: `127.1.${at >> 8}.${at & 255}`, namespace: `n${at}`, domain: long }),
  );
  assert.throws(() => composeBlock(large, NOBODY, "me"), /more than 4194304 bytes/);
});
