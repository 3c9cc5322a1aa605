import assert from "node:assert/strict";

const PROGRAM = `
const { claimRange } = await import("${new URL(
  "../../src/platform/range_claim.ts",
  import.meta.url,
)}");
try {
  claimRange(231);
} catch (error) {
  console.log(JSON.stringify(error));
}`;

/** As long as no interface has ever been up, the kernel lets anybody bind anything. */
const WITH_ANOTHER = "ip link add type veth; ip addr add 10.1.1.1/24 dev veth0; " +
  'ip link set veth0 up; exec "$0" "$@"';

/** There is no network in which packages could be looked for. */
const ALONE = ["--no-config", "--no-lock", "--no-npm", "--no-remote"];

Deno.test({
  name: "claimRange() says that the loopback interface is down",
  // A network of its own is root's.
  ignore: Deno.uid() !== 0,
  fn: async () => {
    const { stdout } = await new Deno.Command("unshare", {
      args: ["--net", "sh", "-c", WITH_ANOTHER, Deno.execPath(), "eval", ...ALONE, PROGRAM],
      stderr: "inherit",
    }).output();
    assert.deepEqual(JSON.parse(new TextDecoder().decode(stdout)), {
      code: "failed",
      message: "Cannot listen on 127.1.231.1: the loopback interface is down",
      hint: "Bring it up as root: ip link set lo up",
    });
  },
});
