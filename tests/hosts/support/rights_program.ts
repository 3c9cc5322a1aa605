/**
 * What the helper's start leaves of the permissions the binary is compiled
 * with: tries what docs/security.md says it may not, and what it must.
 */
// deno-lint-ignore-file no-console
import { confine } from "../../../src/platform/helper_process.ts";

await confine();

const tries: Record<string, () => unknown> = {
  "start a program": () => new Deno.Command("true").outputSync(),
  "read the environment": () => Deno.env.get("HOME"),
  "set the environment": () => Deno.env.set("A", "b"),
  "ask the system": () => Deno.hostname(),
  "ask who runs it": () => Deno.uid(),
  "import from outside": () => import(`${"https://localhost:1/x"}.js`),
  "import data": () => import(`data:text/javascript,${"export default 1"}`),
  "load a library": () => Deno.dlopen("libc.so.6", {}),
  "send a signal to another": () => Deno.kill(1, 0 as unknown as Deno.Signal),
  "ask for it back": async () => {
    const { state } = await Deno.permissions.request({ name: "run" });
    if (state !== "granted") throw new Deno.errors.NotCapable("no");
  },
  "read inside /proc": () => Deno.readTextFileSync("/proc/self/environ"),
  "read a file": () => Deno.statSync("/etc/hosts"),
  "listen on 127.1.x.x": () => Deno.listen({ hostname: "127.1.255.253", port: 0 }).close(),
};
const results: Record<string, string> = {};
for (const [what, attempt] of Object.entries(tries)) {
  try {
    await attempt();
    results[what] = "done";
  } catch (error) {
    results[what] = (error as Error).name;
  }
}
console.log(JSON.stringify({ ...results, umask: Deno.umask(), cwd: Deno.cwd() }));
