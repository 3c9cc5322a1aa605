import type { LogFields, Logger } from "../model/log.ts";
import type { Clock } from "../model/clock.ts";
import { HARMFUL, spelled } from "../model/harmful.ts";

/** Size in bytes at which the log is rotated: a day of a busy session. */
const ROTATE_AT = 5 * 1024 * 1024;
/** `czfwd.log` and this many older ones. */
const KEEP = 2;

/**
 * A logger that appends one line per entry to a file (0600) and rotates it.
 * Lines: RFC 3339 time, level, message, `key=value` fields; what could harm a
 * terminal or look like another line is escaped, because messages may quote what a cluster said.
 */
export function fileLogger(path: string, clock: Clock, level: "debug" | "info" = "info"): Logger {
  let file = Deno.openSync(path, { create: true, append: true, mode: 0o600 });
  let size = file.statSync().size;
  const encoder = new TextEncoder();

  const rotate = () => {
    file.close();
    for (let n = KEEP; n > 0; n--) {
      try {
        Deno.renameSync(n === 1 ? path : `${path}.${n - 1}`, `${path}.${n}`);
      } catch {
        // That many were not there yet.
      }
    }
    file = Deno.openSync(path, { create: true, append: true, mode: 0o600 });
    size = 0;
  };

  const write = (name: string, message: string, fields: LogFields) => {
    const time = new Date(clock.now()).toISOString();
    const bytes = encoder.encode(`${time} ${name} ${plain(message)}${render(fields)}\n`);
    try {
      if (size > 0 && size + bytes.length > ROTATE_AT) rotate();
      file.writeSync(bytes);
      size += bytes.length;
    } catch {
      // A full disk must not take the tunnels down.
    }
  };

  const logger = (base: LogFields): Logger => ({
    debug: (message, fields) => {
      if (level === "debug") write("debug", message, { ...base, ...fields });
    },
    info: (message, fields) => write("info", message, { ...base, ...fields }),
    warn: (message, fields) => write("warn", message, { ...base, ...fields }),
    error: (message, fields) => write("error", message, { ...base, ...fields }),
    with: (fields) => logger({ ...base, ...fields }),
  });
  return logger({});
}

function render(fields: LogFields): string {
  let text = "";
  for (const [key, value] of Object.entries(fields)) {
    if (value === undefined) continue;
    const shown = String(value);
    text += ` ${key}=${/^[\w.:/@-]+$/.test(shown) ? shown : JSON.stringify(plain(shown))}`;
  }
  return text;
}

function plain(text: string): string {
  return text.replace(HARMFUL, (found) => found === "\n" ? " | " : spelled(found));
}
