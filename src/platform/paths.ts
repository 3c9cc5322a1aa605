import { join } from "node:path";
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

/** Throws CzctlError `failed` when HOME is not set. */
export function statePaths(home: string | undefined): StatePaths {
  if (!home) {
    throw new CzctlError("failed", "Cannot find the home folder: HOME is not set", {
      hint: "Set HOME and try again",
    });
  }
  const base = join(home, ".codezero");
  return {
    home,
    base,
    czfwd: join(base, "bin", "czfwd", "czfwd"),
    socket: join(base, "run", "czfwd.sock"),
    lock: join(base, "run", "czfwd.lock"),
    sessions: join(base, "state", "sessions"),
    addresses: join(base, "state", "addresses.json"),
    log: join(base, "log", "czfwd.log"),
    hostsOriginal: join(home, "hosts.original"),
  };
}
