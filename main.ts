/** Picks the role, nothing else: each role's code is loaded only in that role. */
import process from "node:process";
import { roleOf } from "./src/hosts/role.ts";

const role = roleOf({
  uid: process.getuid?.(),
  euid: process.geteuid?.(),
  invokedAs: process.argv0,
  args: Deno.args,
});

switch (role) {
  case "helper": {
    process.umask(0o077);
    Deno.chdir("/");
    const { runHelper } = await import("./src/hosts/helper.ts");
    Deno.exit(await runHelper(Deno.args));
    break;
  }
  case "svc": {
    const { runSvc } = await import("./src/session/svc.ts");
    Deno.exit(await runSvc(Deno.args.slice(1)));
    break;
  }
  case "cli": {
    const { runCli } = await import("./src/cli/main.ts");
    Deno.exit(await runCli(Deno.args));
  }
}
