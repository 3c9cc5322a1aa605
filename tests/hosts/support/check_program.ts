/** What `czctl doctor` finds here, as JSON; with `--fix` it mends what is safe first. */
// deno-lint-ignore-file no-console
import { systemClock } from "../../../src/platform/clock.ts";
import { checkHosts } from "../../../src/hosts/checks.ts";

const [version, binary, hostsOriginal, svcAlive, fix] = Deno.args as [
  string,
  string,
  string,
  string,
  string,
];
const options = {
  version,
  binary,
  hostsOriginal,
  svcAlive: svcAlive === "alive",
  clock: systemClock,
};
const findings = await checkHosts(options);
const done: string[] = [];
if (fix === "--fix") {
  for (const { safeFix } of findings) {
    if (safeFix) done.push(await safeFix());
  }
}
console.log(JSON.stringify({ findings, done, left: await checkHosts(options) }));
