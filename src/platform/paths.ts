import { isAbsolute, join } from "node:path";
import { CzctlError } from "../model/errors.ts";

/** Where czctl keeps things of one user; everything under `base` is 0700/0600. */
export interface StatePaths {
  readonly home: string;
  /** `~/.codezero` */
  readonly base: string;
  /** `~/.codezero/bin/czfwd/czfwd`: the link through which svc runs, so that its process name is `czfwd`. */
  readonly czfwd: string;
  readonly socket: string;
  /** Locked by svc for as long as it lives: no lock, no svc. */
  readonly lock: string;
  readonly sessions: string;
  readonly addresses: string;
  readonly log: string;
  /** `~/hosts.original` */
  readonly hostsOriginal: string;
}

/** Below `~/.codezero`. */
const SOCKET = join("run", "czfwd.sock");
/** What fits into `sun_path` on every system (104 bytes on macOS, 108 on Linux), without its last NUL. */
const SOCKET_PATH_BYTES = 103;

/** Throws CzctlError `failed` when HOME is not set, or cannot be where czctl keeps its things. */
export function statePaths(home: string | undefined): StatePaths {
  if (!home) {
    throw new CzctlError("failed", "Cannot find the home folder: HOME is not set", {
      hint: "Set HOME and try again",
    });
  }
  if (!isAbsolute(home)) {
    throw new CzctlError("failed", `Cannot use HOME "${home}": it is not an absolute path`, {
      hint: "Set HOME to the whole path of your home folder and try again",
    });
  }
  const base = join(home, ".codezero");
  const spare = SOCKET_PATH_BYTES - new TextEncoder().encode(join(base, SOCKET)).length;
  if (spare < 0) {
    throw new CzctlError(
      "failed",
      `Cannot use HOME "${home}": its path is ${-spare} bytes too long for a socket below it`,
      { hint: "Set HOME to a folder with a shorter path, or to a short link to this one" },
    );
  }
  return {
    home,
    base,
    czfwd: join(base, "bin", "czfwd", "czfwd"),
    socket: join(base, SOCKET),
    lock: join(base, "run", "czfwd.lock"),
    sessions: join(base, "state", "sessions"),
    addresses: join(base, "state", "addresses.json"),
    log: join(base, "log", "czfwd.log"),
    hostsOriginal: join(home, "hosts.original"),
  };
}
