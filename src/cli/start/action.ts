import { callerUid } from "../../platform/caller.ts";
import { systemClock } from "../../platform/clock.ts";
import type { CliContext } from "../context.ts";
import { controlClient } from "../control.ts";
import { NotRunning } from "../control_client.ts";
import { elevate } from "../elevation.ts";

/** `czctl start`: elevates once, then starts svc so that it stays. */
export async function start(
  options: { readonly prefix?: string | undefined },
  context: CliContext,
): Promise<void> {
  const { print, signal } = context;
  if (context.env.SUDO_USER && callerUid() === 0) {
    print.note(
      `This is for root's own sessions; for those of ${context.env.SUDO_USER}, ` +
        "run czctl start without sudo: it asks for root itself",
    );
  }
  const helper = await elevate(options.prefix, context);
  signal.throwIfAborted();
  print.step(
    "elevated",
    helper.state === "root" ? "as root; nothing needs to be installed" : helper.path,
  );
  const { ensureSvc } = await import("../../session/launch.ts");
  print.progress("Starting czfwd");
  const client = controlClient(context);
  const running = async () => {
    await ensureSvc({ paths: context.paths(), resident: true, clock: systemClock });
    const found = await client.connect(signal);
    return found.resident ? found : await client.stay(signal);
  };
  // One that teleport started may end in the very moment it is asked to stay.
  const status = await running().catch((error) => {
    if (error instanceof NotRunning) return running();
    throw error;
  });
  if (print.format === "json") return print.json({ helper, status });
  print.step("czfwd", `running, pid ${status.pid}`);
}
