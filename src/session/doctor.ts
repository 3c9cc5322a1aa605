import { dirname } from "node:path";
import { systemClock } from "../platform/clock.ts";
import { CzctlError, messageOf } from "../model/errors.ts";
import { silentLogger } from "../model/log.ts";
import type { Clock } from "../model/clock.ts";
import { lostText, type PortInfo, type ServiceInfo, type StatusInfo } from "../model/control.ts";
import { openCluster } from "../cluster/cluster.ts";
import { checkHosts, type HostsFinding } from "../hosts/checks.ts";
import { NO_LOW_PORTS } from "../hosts/low_ports.ts";
import { rememberedPrefix } from "../hosts/elevate.ts";
import { DEFAULT_PORT } from "../inspector/inspector.ts";
import { buildInfo } from "../platform/build_info.ts";
import { environment, workingFolder } from "../platform/caller.ts";
import { ownExecutable } from "../platform/daemon.ts";
import { codeOf } from "../platform/files.ts";
import { machineView } from "../platform/machine_view.ts";
import type { StatePaths } from "../platform/paths.ts";
import { loopbackTrouble } from "../platform/range_claim.ts";
import { pathExists, reasonOf, removeIfPresent, tryToWrite } from "../platform/private_files.ts";
import { portLabel } from "./describe.ts";
import { svcIsAlive, svcStatus } from "./launch.ts";
import { recoverIfNeeded } from "./recovery.ts";
import { SessionStore } from "./store.ts";

/** One thing `czctl doctor` looked at. */
export interface Finding {
  /** What was looked at, in a word or two: `hosts file`, `control socket`. */
  readonly subject: string;
  readonly state: "ok" | "warning" | "problem" | "fixed";
  /** What was found, in one sentence. */
  readonly text: string;
  /** How to mend it; with `--fix`, what is left to do. */
  readonly mend?: string;
}

/** A finding with what `--fix` does about it: says what was done. Throws CzctlError. */
interface Mendable {
  readonly finding: Finding;
  readonly fix?: () => Promise<string>;
}

/** Which cluster to look at; the current one where nothing is chosen. */
export interface ClusterChoice {
  readonly kubeconfig?: string;
  readonly context?: string;
}

interface Look {
  readonly paths: StatePaths;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Undefined when no svc answers. */
  readonly status: StatusInfo | undefined;
  /** A svc holds the lock, answering or not. */
  readonly alive: boolean;
}

/** Between the end of its socket and that of its lock svc cleans up; how long that may take, in ms. */
const ENDING_MS = 3_000;
const LOOK_EVERY_MS = 100;

/** Ports with trouble that are told one by one. */
const MOST_TROUBLES = 5;

/** Looks at everything that can be wrong on this machine; `fix` mends what is safe. */
export async function runDoctor(
  options: {
    paths: StatePaths;
    fix: boolean;
    cluster?: ClusterChoice;
    signal: AbortSignal;
    clock?: Clock;
  },
): Promise<readonly Finding[]> {
  const { paths, signal, clock = systemClock } = options;
  const { status, alive } = await lookForSvc(paths, clock);
  const look: Look = { paths, signal, clock, status, alive };
  const found: Mendable[] = [
    ...checkSvc(look),
    ...await checkSocket(look),
    ...await checkHome(look),
    ...await checkHostsRoom(look),
    ...checkLoopback(),
    ...await checkRecords(look),
    ...checkInspector(look),
    ...checkTunnels(look),
    ...await checkCluster(look, options.cluster ?? {}),
  ];
  const findings: Finding[] = [];
  for (const { finding, fix } of found) {
    findings.push(options.fix && fix ? await mended(finding, fix) : finding);
  }
  return findings;
}

/** One that is just ending, most often after a command that failed, is waited for. */
async function lookForSvc(
  paths: StatePaths,
  clock: Clock,
): Promise<Pick<Look, "status" | "alive">> {
  const deadline = clock.monotonic() + ENDING_MS;
  for (;;) {
    const status = await svcStatus(paths);
    // Where nothing can be written no lock can be tried.
    const alive = await svcIsAlive(paths).catch(() => status !== undefined);
    if (status !== undefined || !alive || clock.monotonic() > deadline) return { status, alive };
    await clock.sleep(LOOK_EVERY_MS);
  }
}

async function mended(finding: Finding, fix: () => Promise<string>): Promise<Finding> {
  try {
    return { subject: finding.subject, state: "fixed", text: await fix() };
  } catch (error) {
    const hint = error instanceof CzctlError ? error.hint : undefined;
    return {
      ...finding,
      text: `${finding.text}; mending it failed: ${messageOf(error)}`,
      ...(hint === undefined ? {} : { mend: hint }),
    };
  }
}

function checkSvc({ status, alive }: Look): Mendable[] {
  const subject = "czfwd";
  if (!status) {
    return [{
      finding: alive
        ? {
          subject,
          state: "problem",
          text: "It runs, but does not answer",
          mend: "killall czfwd; it cleans up as it ends",
        }
        : { subject, state: "ok", text: "Not running, no session is open" },
    }];
  }
  if (status.machine !== undefined && status.machine !== machineView()) {
    return [{
      finding: {
        subject,
        state: "problem",
        text: "The czfwd of this HOME runs in another container or network namespace",
        mend: "Close its sessions there, or give this one a HOME of its own: HOME=FOLDER czctl ...",
      },
    }];
  }
  const own = buildInfo().version;
  if (status.version !== own) {
    return [{
      finding: {
        subject,
        state: "problem",
        text: `The running czfwd is version ${status.version}, this is czctl ${own}`,
        mend: "czctl stop; czctl start",
      },
    }];
  }
  const found: Mendable[] = [{
    finding: {
      subject,
      state: "ok",
      text: `Running, ${count(status.sessions.length, "open session")}`,
    },
  }];
  if (status.helper.state === "failed") {
    found.push({
      finding: {
        subject: "helper",
        state: "problem",
        text: `The helper does not run: ${status.helper.reason ?? "it does not start"}`,
        mend: status.helper.hint ?? "czctl stop; czctl start",
      },
    });
  }
  for (const session of status.sessions) {
    const { envFile } = session;
    if (envFile?.state === "stopped") {
      found.push({
        finding: {
          subject: "env file",
          state: "warning",
          text: `${envFile.path} is no longer kept fresh: ${envFile.reason ?? "stopped"}`,
          mend: `czctl session close ${session.id}, then teleport again`,
        },
      });
    }
    for (const lost of session.lost ?? []) {
      found.push({
        finding: {
          subject: `session ${session.id}`,
          state: "warning",
          text: lostText(lost),
          mend: `czctl session close ${session.id}; it heals by itself if the namespace comes back`,
        },
      });
    }
    if (session.cluster.reachable) continue;
    found.push({
      finding: {
        subject: `session ${session.id}`,
        state: "problem",
        text: `Its cluster is unreachable: ${session.cluster.reason ?? "no answer"}`,
        mend: session.cluster.hint ??
          `It heals by itself once the cluster answers; see ${
            session.kubectl ?? "kubectl"
          } get services`,
      },
    });
  }
  return found;
}

async function checkSocket({ paths, status, alive }: Look): Promise<Mendable[]> {
  if (status || alive || !(await pathExists(paths.socket))) return [];
  return [{
    finding: {
      subject: "control socket",
      state: "warning",
      text: "A socket of a czfwd that is gone is left",
      mend: "czctl doctor --fix",
    },
    fix: async () => {
      await removeIfPresent(paths.socket);
      return "Removed the socket of a czfwd that is gone";
    },
  }];
}

/** What keeps a file from being written, by the system's name for it: where to look. */
const UNWRITABLE: Readonly<Record<string, string>> = {
  ENOSPC: "Make room there: df -h",
  EDQUOT: "Make room there: quota; df -h",
  EROFS: "See how it is mounted: findmnt -T",
};

/** The folders czctl writes in, as far as they are there; the first trouble is told. */
async function checkHome({ paths }: Look): Promise<Mendable[]> {
  const below = [
    paths.base,
    ...[paths.sessions, paths.addresses, paths.lock, paths.log].map(dirname),
  ];
  for (const folder of [paths.home, ...below]) {
    try {
      await tryToWrite(folder);
    } catch (error) {
      if (folder !== paths.home && codeOf(error) === "ENOENT") continue;
      const look = UNWRITABLE[codeOf(error) ?? ""] ??
        "See that HOME is a folder you can write in: ls -ld";
      return [{
        finding: {
          subject: "home folder",
          state: "problem",
          text: `czctl cannot write in "${folder}": ${reasonOf(error)}`,
          mend: `${look} ${folder}`,
        },
      }];
    }
  }
  return [];
}

const HOSTS_SUBJECT: Readonly<Record<HostsFinding["id"], string>> = {
  hosts_unreadable: "hosts file",
  markers: "hosts file",
  stale_block: "hosts file",
  kept_elsewhere: "hosts file",
  unwritable: "hosts file",
  foreign_lines: "hosts file",
  stray_lines: "hosts file",
  cut_short: "hosts file",
  helper: "helper",
  low_ports: "low ports",
  resolver: "name resolution",
  backup: "hosts backup",
};

/** Findings that spoil nothing while they last. */
const MILD = new Set<HostsFinding["id"]>(["foreign_lines", "stray_lines", "low_ports", "backup"]);

async function checkHostsRoom(look: Look): Promise<Mendable[]> {
  const found = await checkHosts({
    version: buildInfo().version,
    prefix: await rememberedPrefix(look.paths.base),
    binary: ownExecutable(),
    hostsOriginal: look.paths.hostsOriginal,
    svcAlive: look.alive,
    clock: look.clock,
  });
  if (found.length === 0) {
    return [{ finding: { subject: "hosts file", state: "ok", text: "As it should be" } }];
  }
  return found.map(({ id, what, mend, safeFix }) => ({
    finding: {
      subject: HOSTS_SUBJECT[id],
      state: MILD.has(id) ? "warning" : "problem",
      text: what,
      mend,
    },
    ...(safeFix === undefined ? {} : { fix: safeFix }),
  }));
}

function checkLoopback(): Mendable[] {
  const trouble = loopbackTrouble();
  if (trouble === undefined) return [];
  const text = `Nothing can listen on 127.1.x.y: ${trouble.why}`;
  return [{ finding: { subject: "loopback", state: "problem", text, mend: trouble.mend } }];
}

async function checkRecords({ paths, alive }: Look): Promise<Mendable[]> {
  if (alive) return [];
  const records = await new SessionStore(paths.sessions).list();
  if (records.length === 0) return [];
  const files = [
    ...new Set(records.flatMap(({ record }) => record?.envFile ? [record.envFile.path] : [])),
  ];
  return [{
    finding: {
      subject: "sessions",
      state: "problem",
      text: `${count(records.length, "session")} ended without cleaning up` +
        (files.length === 0 ? "" : `, and may have left ${files.join(", ")}`),
      mend: "czctl doctor --fix",
    },
    fix: async () => {
      const said = await recoverIfNeeded({ paths, onlyRecords: true });
      return said.length === 0 ? "Forgot sessions that are gone" : said.join("; ");
    },
  }];
}

function checkInspector({ status }: Look): Mendable[] {
  if (!status) return [];
  const subject = "inspector";
  const { url, reason } = status.inspector;
  if (url === undefined) {
    return [{
      finding: { subject, state: "warning", text: `It is not served: ${reason ?? "no free port"}` },
    }];
  }
  if (new URL(url).port === String(DEFAULT_PORT)) {
    return [{ finding: { subject, state: "ok", text: url } }];
  }
  return [{
    finding: {
      subject,
      state: "warning",
      text: `Port ${DEFAULT_PORT} is taken by another program; the inspector is at ${url}`,
      mend: "Nothing to do, or end the other program and: czctl stop; czctl start",
    },
  }];
}

/** Ports that cannot be bound, and those whose last connection came to nothing. */
function checkTunnels({ status }: Look): Mendable[] {
  const findings: Mendable[] = (status?.sessions ?? []).flatMap(({ services }) =>
    services.flatMap((service) => service.ports.flatMap((port) => portTrouble(service, port)))
  );
  const more = findings.length - MOST_TROUBLES;
  if (more <= 0) return findings;
  return [...findings.slice(0, MOST_TROUBLES), {
    finding: {
      subject: "tunnels",
      state: "warning",
      text: `There is trouble with ${more} more ports`,
      mend: "czctl session list --details",
    },
  }];
}

function portTrouble(service: ServiceInfo, port: PortInfo): Mendable[] {
  const name = portLabel(service, port);
  const warning = (text: string, mend?: string): Mendable[] => [{
    finding: {
      subject: "tunnels",
      state: "warning",
      text,
      ...(mend === undefined ? {} : { mend }),
    },
  }];
  if (port.state === "blocked") {
    const text = `${name} is not forwarded: ${port.reason ?? "its port cannot be bound"}`;
    // That is the machine's, and is told of it.
    if (port.reason?.includes(NO_LOW_PORTS)) return warning(text);
    return warning(
      text,
      "End what listens there (its names lead to that program meanwhile), or leave the service out with --exclude",
    );
  }
  const { lastFailure: failure } = port;
  if (failure === undefined) return [];
  return warning(`The last connection to ${name} failed: ${failure.reason}`, failure.hint);
}

/** The cluster of the chosen or current context: address, certificate, credentials, and the two clocks. */
async function checkCluster({ clock, signal }: Look, choice: ClusterChoice): Promise<Mendable[]> {
  const subject = "cluster";
  const env = environment();
  try {
    const cluster = await openCluster({
      ...choice,
      env,
      cwd: workingFolder(),
      home: env["HOME"] ?? "/",
      log: silentLogger,
      clock,
    });
    try {
      await cluster.probe({ signal });
      return [{
        finding: {
          subject,
          state: "ok",
          text: `${cluster.server} answers (context ${cluster.context})`,
        },
      }];
    } finally {
      await cluster.close();
    }
  } catch (error) {
    signal.throwIfAborted();
    const known = error instanceof CzctlError ? error : undefined;
    // Without a kubeconfig nothing is wrong with this machine.
    const state = known?.code === "failed" ? "warning" : "problem";
    return [{
      finding: {
        subject,
        state,
        text: messageOf(error),
        mend: known?.hint ?? "kubectl cluster-info",
      },
    }];
  }
}

function count(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? "" : "s"}`;
}
