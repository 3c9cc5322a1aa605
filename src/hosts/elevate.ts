/**
 * The way to root, from the user's side: is there a helper that works, what has
 * root to run to get one, and running that through sudo.
 */
import { join } from "node:path";
import { CzctlError, messageOf } from "../model/errors.ts";
import { shellWord } from "../model/shell_word.ts";
import { codeOf, realFiles } from "../platform/files.ts";
import { readIfPresent, removeIfPresent, writeAtomic } from "../platform/private_files.ts";
import { currentUser, runOnTerminal, runProgram } from "../platform/run_program.ts";
import { install, move, uninstall } from "./install.ts";
import { checkInstalledFor, DEFAULT_PREFIX, HELPER_MODE, helperPath } from "./installed.ts";
import { probe } from "./probe.ts";

export { DEFAULT_PREFIX, install, uninstall };

/** Said before a password is asked for. */
export const WHY_ROOT =
  "czctl needs root once, to install a small helper that may only edit its own block of " +
  "/etc/hosts and open ports below 1024 on 127.1.x.x";

/** The hidden command root runs: `czctl elevate ...`, see `runElevate`. */
export const ELEVATE_COMMAND = "elevate";

/** Its first argument where `czctl start` reads what came of it, and tells the user. */
export const FOR_START = "--for-start";
/** What a failure begins with then, on standard output. */
const ANSWER = '{"czctl elevate":';

export interface Elevation {
  /**
   * `root`: this process is root already and needs no copy. `ready`: the copy
   * works. `outdated`: it has another version. `unusable`: `reason` says why.
   */
  readonly state: "root" | "ready" | "absent" | "outdated" | "unusable";
  /** Where the copy is, or would be. */
  readonly path: string;
  readonly version?: string;
  readonly reason?: string;
}

export interface ElevationQuery {
  /** The `version` of this czctl. */
  readonly version: string;
  readonly prefix?: string;
}

/** Whether anything is where the current user's copy would be. */
export async function isInstalled(prefix: string): Promise<boolean> {
  const path = helperPath(prefix, currentUser().uid);
  return await realFiles.lstat(path).catch(() => undefined) !== undefined;
}

/** Looks at the installed copy of the current user and asks it who it is. */
export async function inspectElevation(query: ElevationQuery): Promise<Elevation> {
  const { uid } = currentUser();
  const path = helperPath(query.prefix ?? DEFAULT_PREFIX, uid);
  if (uid === 0) return { state: "root", path };
  if (await realFiles.lstat(path).catch(() => undefined) === undefined) {
    return { state: "absent", path };
  }
  try {
    await checkInstalledFor(realFiles, path, uid);
  } catch (error) {
    return { state: "unusable", path, reason: (error as Error).message };
  }
  const found = await probe(path);
  if (found.reason !== undefined) return { state: "unusable", path, reason: found.reason };
  if (found.euid !== 0) {
    return {
      state: "unusable",
      path,
      reason: "set-uid has no effect there: the folder is mounted nosuid, or this container " +
        "gets no new privileges (let it run as root)",
    };
  }
  const version = found.version ?? "unknown";
  return { state: version === query.version ? "ready" : "outdated", path, version };
}

/**
 * The command svc starts the helper with. `binary`: the path of this program.
 * Throws CzctlError `not_elevated` with the next command when there is none.
 */
export function helperCommand(elevation: Elevation, binary: string): string[] {
  switch (elevation.state) {
    case "root":
      return [binary, "helper"];
    case "ready":
      return [elevation.path, "helper"];
    case "absent":
      throw new CzctlError("not_elevated", "Cannot edit /etc/hosts: root has not been asked yet", {
        hint: "Run once: czctl start",
      });
    case "outdated":
      throw new CzctlError(
        "not_elevated",
        `Cannot use the installed helper: it is version ${elevation.version}, not this czctl's`,
        { hint: "Renew it with: czctl stop; czctl start" },
      );
    case "unusable":
      throw new CzctlError(
        "not_elevated",
        `Cannot use the installed helper: ${elevation.reason ?? "it does not work"}`,
        { hint: "Install it anew with: czctl start; elsewhere with: czctl start --prefix FOLDER" },
      );
  }
}

export interface ElevateRequest {
  readonly action: "install" | "uninstall";
  /** The path of this program. */
  readonly binary: string;
  readonly prefix?: string;
  /** With `install`: the prefix of the copy that goes when this one is there. */
  readonly former?: string;
}

/** What root has to run for the current user. */
export function elevateCommand(request: ElevateRequest): string[] {
  const { uid, gid } = currentUser();
  const { binary, action, prefix = DEFAULT_PREFIX, former } = request;
  const places = former === undefined ? [prefix] : [prefix, former];
  return [binary, ELEVATE_COMMAND, action, `${uid}:${gid}`, ...places];
}

/**
 * Has root install or remove the helper of the current user, through sudo,
 * which asks for the password itself; `tell` shows the user what it says on
 * standard output. Throws the CzctlError that root met, or `not_elevated` with
 * what to run as root where there is no sudo or it refused.
 */
export async function elevateWithSudo(
  request: ElevateRequest,
  tell: (text: string) => void,
): Promise<void> {
  const command = elevateCommand(request);
  const [, , ...args] = command;
  if (currentUser().uid === 0) return await runElevate(args, request.binary);
  const asked = ["sudo", "--", request.binary, ELEVATE_COMMAND, FOR_START, ...args];
  let answer = "";
  const code = await runOnTerminal(asked, (text) => {
    const at = answer === "" ? text.indexOf(ANSWER) : 0;
    if (at !== 0) tell(at === -1 ? text : text.slice(0, at));
    if (at !== -1) answer += text.slice(at);
  });
  if (code === 0) return;
  if (answer !== "") throw CzctlError.fromJSON(JSON.parse(answer)["czctl elevate"]);
  if (code !== undefined) await explainUnreadable(request.binary);
  throw new CzctlError(
    "not_elevated",
    code === undefined
      ? "Cannot ask for root: there is no sudo"
      : "Cannot become root: sudo refused, or could not run czctl",
    { hint: `Have root run: ${command.map(shellWord).join(" ")}` },
  );
}

/**
 * A home folder on the network that does not trust root: root may not even read
 * the program there. Throws CzctlError `not_elevated` when that is the case.
 */
async function explainUnreadable(binary: string): Promise<void> {
  // -n: never asks again; says something itself when it may not.
  const asked = await runProgram(["sudo", "-n", "--", "test", "-r", binary]);
  if (asked?.code !== 1 || asked.errors !== "") return;
  const place = "/usr/local/bin/czctl";
  throw new CzctlError(
    "not_elevated",
    `Cannot install the helper: even root may not read "${binary}", as in a home folder on the network`,
    {
      hint:
        `Put it where root can: sudo install -m 755 /dev/stdin ${place} < ${shellWord(binary)}` +
        `; then run: ${place} start`,
    },
  );
}

/**
 * `czctl elevate install UID:GID PREFIX [FORMER]` or `uninstall UID:GID PREFIX`,
 * run by root. `binary` is the path of this program, which is what gets
 * installed. Throws CzctlError.
 */
export async function runElevate(args: readonly string[], binary: string): Promise<void> {
  const [action, user, prefix, ...more] = args;
  const ids = /^([0-9]{1,10}):([0-9]{1,10})$/.exec(user ?? "");
  const known = action === "install" || action === "uninstall";
  const most = action === "install" ? 1 : 0;
  if (!known || ids === null || prefix === undefined || more.length > most) {
    throw new CzctlError("usage", "Cannot elevate: the arguments are not those of czctl start", {
      hint: "Run: czctl start",
    });
  }
  if (currentUser().uid !== 0) {
    throw new CzctlError("not_elevated", "Cannot elevate: this has to be run by root", {
      hint: "Run: czctl start",
    });
  }
  const [uid, gid] = [Number(ids[1]), Number(ids[2])];
  try {
    if (action === "uninstall") await uninstall({ prefix, uid });
    else if (more[0] === undefined) await install({ prefix, uid, gid, source: binary });
    else await move({ prefix, uid, gid, source: binary, former: more[0] });
  } catch (error) {
    if (error instanceof CzctlError || codeOf(error) === undefined) throw error;
    throw new CzctlError("failed", `Cannot ${action} the helper: ${messageOf(error)}`, {
      hint: "Name another place with: czctl start --prefix FOLDER",
      cause: error,
    });
  }
}

/** A failure of `czctl elevate`, as `elevateWithSudo` reads it. */
export function elevateAnswer(error: CzctlError): string {
  return `${ANSWER}${JSON.stringify(error.toJSON())}}\n`;
}

/** The prefix of the last `czctl start`, kept in the state folder. */
export async function rememberedPrefix(base: string): Promise<string> {
  const text = (await readIfPresent(join(base, "state", "prefix")))?.trim();
  return text === undefined || text === "" ? DEFAULT_PREFIX : text;
}

export async function rememberPrefix(base: string, prefix: string): Promise<void> {
  await writeAtomic(join(base, "state", "prefix"), `${prefix}\n`);
}

/** After the copy was removed: the next `czctl start` has the default again. */
export async function forgetPrefix(base: string): Promise<void> {
  await removeIfPresent(join(base, "state", "prefix"));
}

export { HELPER_MODE, helperPath };
