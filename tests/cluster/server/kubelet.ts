/**
 * Scheduler, kubelet and container runtime of the test cluster: takes pods
 * through their life in the order of events recorded from a real node, and
 * backs each with real listeners in a pod process.
 */
import { type ChildProcess, fork } from "node:child_process";
import { randomBytes, randomUUID } from "node:crypto";
import process from "node:process";
import type { Timings } from "./config.ts";
import { now, type Obj } from "./json.ts";
import {
  type Container,
  creating,
  observed,
  running,
  scheduled,
  terminated,
} from "./pod_status.ts";
import {
  DATA_PATH_FLAGS,
  type PodCommand,
  type PodFault,
  type PodReport,
  type PodStats,
  programsOf,
} from "./pod_protocol.ts";
import { resourceNamed } from "./resources.ts";
import { keyOf, type Store } from "./store.ts";
import type { ForwardTarget } from "./target.ts";

const PODS = resourceNamed("pods");

interface Sandbox extends Container {
  readonly target: ForwardTarget;
  process: PodProcess | undefined;
  started: Promise<void> | undefined;
  terminating: boolean;
}

class PodProcess {
  readonly child: ChildProcess;
  #waiting = new Map<string, (report: PodReport) => void>();

  constructor(readonly onExit: (uid: string, exitCode: number) => void) {
    this.child = fork(process.argv[1]!, ["pods"], {
      stdio: ["ignore", "inherit", "inherit", "ipc"],
      execArgv: [...DATA_PATH_FLAGS],
    });
    this.child.on("message", (report: PodReport) => {
      if (report.type === "exited") return this.onExit(report.id, report.exitCode);
      const key = `${report.type === "failed" ? "started" : report.type}/${report.id}`;
      this.#waiting.get(key)?.(report);
      this.#waiting.delete(key);
    });
    this.child.on("exit", () => {
      for (const [key, resolve] of this.#waiting) {
        resolve({ type: "stopped", id: key, exitCode: 137 });
      }
    });
  }

  send(command: PodCommand): void {
    if (this.child.connected) this.child.send(command);
  }

  ask(command: PodCommand, answer: string): Promise<PodReport> {
    return new Promise((resolve) => {
      if (!this.child.connected) return resolve({ type: "stopped", id: command.id, exitCode: 137 });
      this.#waiting.set(`${answer}/${command.id}`, resolve);
      this.child.send(command);
    });
  }
}

function warn(text: string): void {
  process.stderr.write(`test cluster: ${text}\n`);
}

export interface KubeletOptions {
  readonly timings: Timings;
  /** First two octets of the pods' real addresses, e.g. "127.77". */
  readonly prefix: string;
  readonly lazy: boolean;
  readonly onState: (uid: string, state: ForwardTarget["state"]) => void;
}

export class Kubelet {
  /** While true pods are running and ready in the instant they are created. */
  instant = false;
  readonly #sandboxes = new Map<string, Sandbox>();
  /** By `namespace/name`, also for a while after deletion. */
  readonly #shared: { process?: PodProcess } = {};
  readonly #own = new Set<PodProcess>();
  readonly #starting = new Set<Promise<void>>();
  /** Pods that are kept from becoming ready, by `namespace/name`. */
  readonly #unready = new Set<string>();
  #addresses = 1;

  constructor(readonly store: Store, readonly options: KubeletOptions) {
    store.listen((resource, event) => {
      if (resource !== PODS) return;
      const { object } = event;
      if (event.type === "ADDED") void this.#run(object);
      else if (event.type === "DELETED") this.#gone(object.metadata.uid);
      else if (object.metadata.deletionTimestamp && !event.before?.metadata.deletionTimestamp) {
        void this.#terminate(object);
      }
    });
  }

  /** Resolves when every listener that was asked for is there. */
  async settled(): Promise<void> {
    while (this.#starting.size > 0) await Promise.all(this.#starting);
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => setTimeout(resolve, ms));
  }

  #current(pod: Obj): Obj | undefined {
    const found = this.store.get(PODS, pod.metadata.namespace, pod.metadata.name);
    return found?.metadata.uid === pod.metadata.uid ? found : undefined;
  }

  /** Changes the status of a pod that still exists and is not being deleted. */
  #status(pod: Obj, change: (pod: Obj) => Obj): boolean {
    const current = this.#current(pod);
    if (!current || current.metadata.deletionTimestamp) return false;
    this.store.update(PODS, change(current));
    return true;
  }

  #sandbox(pod: Obj): Sandbox {
    const number = this.#addresses++;
    const tail = `${(number >> 8) & 255}.${number & 255}`;
    const sandbox: Sandbox = {
      target: {
        pod: keyOf(pod),
        uid: pod.metadata.uid,
        sandbox: randomBytes(32).toString("hex"),
        netns: `/var/run/netns/cni-${randomUUID()}`,
        address: `${this.options.prefix}.${tail}`,
        state: "up",
      },
      podIP: `198.18.${tail}`,
      containerID: `containerd://${randomBytes(32).toString("hex")}`,
      process: undefined,
      started: undefined,
      terminating: false,
      startedAt: now(),
    };
    this.#sandboxes.set(pod.metadata.uid, sandbox);
    return sandbox;
  }

  async #run(pod: Obj): Promise<void> {
    const { timings, lazy } = this.options;
    const sandbox = this.#sandbox(pod);
    const created = pod.metadata.creationTimestamp;
    if (this.instant) {
      if (!lazy) this.#start(pod, sandbox);
      this.#status(pod, (now) => running(scheduled(now), sandbox, created, true));
      return;
    }
    await this.#pause(timings.scheduleMs);
    if (!this.#status(pod, scheduled)) return;
    await this.#pause(timings.createMs);
    if (!this.#status(pod, (now) => creating(now, created, false))) return;
    await this.#pause(timings.createMs);
    if (!this.#status(pod, (now) => creating(now, created, true))) return;
    await this.#pause(timings.startMs);
    if (!lazy) await this.#start(pod, sandbox);
    sandbox.startedAt = now();
    const key = keyOf(pod);
    const held = this.#unready.has(key) ||
      pod.metadata.annotations?.["test-cluster/ready"] === "false";
    if (timings.readyMs > 0 || held) {
      if (!this.#status(pod, (now) => running(now, sandbox, created, false))) return;
      if (held) return;
      await this.#pause(timings.readyMs);
    }
    this.#status(pod, (now) => running(now, sandbox, created, true));
  }

  /** Starts the listeners; the pod gets a process of its own if its annotation says so. */
  #start(pod: Obj, sandbox: Sandbox): Promise<void> {
    if (sandbox.started) return sandbox.started;
    const onExit = (uid: string, exitCode: number) => this.#exited(uid, exitCode);
    const own = pod.metadata.annotations?.["test-cluster/process"] === "own";
    let host: PodProcess;
    if (own) this.#own.add(host = new PodProcess(onExit));
    else host = this.#shared.process ??= new PodProcess(onExit);
    sandbox.process = host;
    const started = host.ask({
      type: "start",
      id: pod.metadata.uid,
      name: pod.metadata.name,
      namespace: pod.metadata.namespace,
      address: sandbox.target.address,
      programs: programsOf(pod),
    }, "started").then((report) => {
      if (report.type === "failed") {
        warn(`pod ${keyOf(pod)} cannot start: ${report.error}`);
      }
      this.#starting.delete(started);
    });
    sandbox.started = started;
    this.#starting.add(started);
    return started;
  }

  /** A container ended by itself (Jobs). */
  #exited(uid: string, exitCode: number): void {
    const sandbox = this.#sandboxes.get(uid);
    if (!sandbox) return;
    const [namespace = "", name = ""] = sandbox.target.pod.split("/");
    const pod = this.store.get(PODS, namespace, name);
    if (pod?.metadata.uid !== uid || pod.metadata.deletionTimestamp) return;
    this.store.update(PODS, terminated(pod, sandbox, exitCode));
  }

  async #terminate(pod: Obj): Promise<void> {
    const { timings, onState } = this.options;
    const uid = pod.metadata.uid;
    const sandbox = this.#sandboxes.get(uid);
    if (!sandbox || sandbox.terminating) return;
    sandbox.terminating = true;
    await this.#pause(timings.reconcileMs);
    let current = this.#current(pod);
    if (!current) return;
    this.store.update(PODS, observed(current));
    const graceMs = Math.min(
      (pod.metadata.deletionGracePeriodSeconds ?? 30) * 1000,
      timings.maxGraceMs,
    );
    let exitCode = 0;
    if (sandbox.process) {
      await this.#pause(timings.stopMs);
      const report = await sandbox.process.ask({ type: "stop", id: uid, graceMs }, "stopped");
      if (report.type === "stopped") exitCode = report.exitCode;
    }
    onState(uid, sandbox.target.state = "closed");
    current = this.#current(pod);
    if (!current) return;
    if (current.status.phase === "Running" || current.status.phase === "Pending") {
      this.store.update(PODS, terminated(current, sandbox, exitCode));
    }
    await this.#pause(timings.createMs);
    current = this.#current(pod);
    if (!current) return;
    const { metadata } = current;
    this.store.update(PODS, {
      ...current,
      metadata: { ...metadata, deletionGracePeriodSeconds: 0 },
    });
    this.store.remove(PODS, metadata.namespace, metadata.name);
  }

  #gone(uid: string): void {
    const sandbox = this.#sandboxes.get(uid);
    if (!sandbox) return;
    this.#sandboxes.delete(uid);
    sandbox.process?.send({ type: "stop", id: uid, graceMs: 0 });
    if (sandbox.process && this.#own.delete(sandbox.process)) {
      const { child } = sandbox.process;
      setTimeout(() => child.connected && child.disconnect(), 50);
    }
    this.options.onState(uid, sandbox.target.state = "removed");
  }

  /** Where a port-forward goes; lazily backed pods start here. Undefined: no sandbox yet. */
  async target(pod: Obj): Promise<ForwardTarget | undefined> {
    const sandbox = this.#sandboxes.get(pod.metadata.uid);
    if (!sandbox) return undefined;
    if (!sandbox.terminating) await this.#start(pod, sandbox);
    return sandbox.target;
  }

  address(uid: string): string | undefined {
    return this.#sandboxes.get(uid)?.target.address;
  }

  /** Resolves when the pod behaves so. */
  async fault(uid: string, fault: PodFault): Promise<void> {
    const host = this.#sandboxes.get(uid)?.process;
    await host?.ask({ type: "fault", id: uid, fault }, "faulty");
  }

  async stats(uid: string): Promise<PodStats> {
    const none = { accepted: 0, open: 0, bytesIn: 0, bytesOut: 0 };
    const host = this.#sandboxes.get(uid)?.process;
    const report = await host?.ask({ type: "stats", id: uid }, "stats");
    return report?.type === "stats" ? report.stats : none;
  }

  /** Makes a pod fail or pass its readiness probe. */
  ready(pod: Obj, ready: boolean): void {
    const sandbox = this.#sandboxes.get(pod.metadata.uid);
    if (!sandbox) return;
    if (ready) this.#unready.delete(keyOf(pod));
    else this.#unready.add(keyOf(pod));
    this.#status(pod, (now) => running(now, sandbox, now.metadata.creationTimestamp, ready));
  }

  close(): void {
    for (const host of [this.#shared.process, ...this.#own]) host?.child.kill("SIGKILL");
  }
}
