import { type Logger, silentLogger } from "../model/log.ts";
import { type ShellCommand, startShell } from "../platform/shell_command.ts";

export interface OnChangeOptions {
  /** As typed; run by the user's shell (`SHELL` of `env`, else `/bin/sh`). */
  readonly command: string;
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** Given to the command as CZCTL_ENV_FILE. */
  readonly file: string;
  readonly log?: Logger;
}

/** How long a command may take to end after SIGTERM, in ms. */
const GRACE_MS = 5000;

/**
 * `--on-change`: a command after each refresh of the env file. It never runs
 * twice at once: one that is still running (a dev server) is stopped first,
 * with all it started, so that "restart my server" is simply the command that
 * starts it. Refreshes that come meanwhile are one more run, not several.
 */
export class OnChange {
  readonly #options: OnChangeOptions;
  readonly #log: Logger;
  #running: ShellCommand | undefined;
  #wanted = false;
  #loop: Promise<void> | undefined;
  #closed = false;

  constructor(options: OnChangeOptions) {
    this.#options = options;
    this.#log = options.log ?? silentLogger;
  }

  /** Runs the command soon; returns at once. */
  trigger(): void {
    if (this.#closed) return;
    this.#wanted = true;
    this.#loop ??= this.#run().finally(() => this.#loop = undefined);
  }

  async #run(): Promise<void> {
    while (this.#wanted && !this.#closed) {
      this.#wanted = false;
      await this.#running?.stop(GRACE_MS);
      if (this.#closed) return;
      const { command, cwd, env, file } = this.#options;
      const running = startShell(env.SHELL || "/bin/sh", command, {
        cwd,
        env: { ...env, CZCTL_ENV_FILE: file },
      });
      this.#running = running;
      this.#log.info("on-change command started");
      running.done.then((code) => {
        if (this.#running === running && !this.#closed) {
          this.#log[code === 0 ? "info" : "warn"]("on-change command ended", { code });
        }
      });
    }
  }

  /** Stops the command and waits for its end. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#loop;
    await this.#running?.stop(GRACE_MS);
  }
}
