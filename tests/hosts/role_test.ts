import assert from "node:assert/strict";
import { helperPath } from "../../src/hosts/installed.ts";
import { parseRequest } from "../../src/hosts/protocol.ts";
import { roleOf } from "../../src/hosts/role.ts";
import { MAX_BLOCK_BYTES, MAX_ENTRIES } from "../../src/hosts/names.ts";
import { MAX_REQUEST_BYTES } from "../../src/hosts/protocol.ts";
import { entry } from "./support/helper.ts";

Deno.test("roleOf makes a set-uid copy the helper, whatever its name and arguments", () => {
  for (const invokedAs of ["czctl", "/usr/local/libexec/czctl/1000/czfwd", "", "x/y"]) {
    for (const args of [[], ["svc"], ["teleport"], ["elevate", "install"], ["--version"]]) {
      assert.equal(roleOf({ uid: 1000, euid: 0, invokedAs, args }), "helper");
      assert.equal(roleOf({ uid: 0, euid: 1000, invokedAs, args }), "helper");
    }
  }
  const user = { uid: 1000, euid: 1000 };
  assert.equal(roleOf({ ...user, invokedAs: "/home/me/czfwd", args: ["svc"] }), "svc");
  assert.equal(roleOf({ ...user, invokedAs: "czctl", args: ["svc"] }), "cli");
  assert.equal(roleOf({ uid: 0, euid: 0, invokedAs: "czctl", args: ["helper"] }), "helper");
  assert.equal(roleOf({ ...user, invokedAs: "czctl", args: [] }), "cli");
  const none = { uid: undefined, euid: undefined };
  assert.equal(roleOf({ ...none, invokedAs: "czctl", args: ["status"] }), "cli");
});

Deno.test("parseRequest takes every field of an entry, and the most entries there may be", () => {
  const full = entry("web", { pod: "web-0", qualifiedOnly: false, omit: ["a"], take: ["b"] });
  const request = { id: 1, op: "apply", entries: [full] };
  assert.deepEqual(parseRequest(JSON.stringify(request)), request);
  // The limits fit each other: a full block can be asked for.
  const most = MAX_ENTRIES * JSON.stringify(entry("a-service-name-of-30-characters")).length;
  assert.ok(most < MAX_REQUEST_BYTES && most < MAX_BLOCK_BYTES, `${most}`);
});

Deno.test("helperPath names the user whom the copy is for", () => {
  assert.equal(helperPath("/usr/local", 1000), "/usr/local/libexec/czctl/1000/czfwd");
  assert.equal(helperPath("/opt/", 7), "/opt/libexec/czctl/7/czfwd");
});
