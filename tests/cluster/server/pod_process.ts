/** Role "pods": a process that runs the programs of one or more pods, told over IPC. */
import process from "node:process";
import type { Server, Socket } from "node:net";
import { backingPort, type PodCommand, type PodFault, type PodReport } from "./pod_protocol.ts";
import { makeServer, type PodInfo } from "./programs.ts";
import type { Program } from "./pod_protocol.ts";

interface Running {
  readonly info: PodInfo;
  readonly programs: readonly Program[];
  servers: Server[];
  readonly sockets: Set<Socket>;
  fault: PodFault;
  accepted: number;
  bytesIn: number;
  bytesOut: number;
  stopping: boolean;
}

const pods = new Map<string, Running>();

function report(message: PodReport): void {
  process.send?.(message);
}

async function listen(pod: Running): Promise<void> {
  for (const program of pod.programs) {
    const server = makeServer(pod.info, program);
    if (!server) continue;
    server.on("connection", (socket) => {
      pod.accepted++;
      pod.sockets.add(socket);
      socket.once("close", () => {
        pod.sockets.delete(socket);
        pod.bytesIn += socket.bytesRead;
        pod.bytesOut += socket.bytesWritten;
      });
      if (pod.fault === "reset") socket.resetAndDestroy();
      if (pod.fault === "stall") queueMicrotask(() => socket.removeAllListeners("data").pause());
    });
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(
        { host: pod.info.address, port: backingPort(program.port), backlog: 1024 },
        resolve,
      );
    });
    pod.servers.push(server);
  }
}

function unlisten(pod: Running): void {
  for (const server of pod.servers.splice(0)) {
    server.close();
    (server as { closeIdleConnections?: () => void }).closeIdleConnections?.();
  }
}

/** SIGTERM, then SIGKILL after the grace period: stops accepting, finishes what is open. */
function stop(id: string, pod: Running, graceMs: number): void {
  if (pod.stopping) return;
  pod.stopping = true;
  unlisten(pod);
  const end = (exitCode: number) => {
    clearTimeout(timer);
    clearInterval(poll);
    pods.delete(id);
    report({ type: "stopped", id, exitCode });
  };
  const timer = setTimeout(() => {
    for (const socket of pod.sockets) socket.destroy();
    end(137);
  }, graceMs);
  const check = () => pod.sockets.size === 0 && end(0);
  const poll = setInterval(check, 5);
  check();
}

async function onCommand(command: PodCommand): Promise<void> {
  const { id } = command;
  if (command.type === "start") {
    const { name, namespace, address, programs } = command;
    const pod: Running = {
      info: { name, namespace, address },
      programs,
      servers: [],
      sockets: new Set(),
      fault: "none",
      accepted: 0,
      bytesIn: 0,
      bytesOut: 0,
      stopping: false,
    };
    pods.set(id, pod);
    try {
      await listen(pod);
      report({ type: "started", id });
    } catch (error) {
      report({ type: "failed", id, error: String(error) });
    }
    const exit = programs.find((one) => one.program === "exit");
    if (exit) {
      setTimeout(() => {
        if (!pod.stopping) report({ type: "exited", id, exitCode: Number(exit.options.code ?? 0) });
      }, Number(exit.options.ms ?? 100));
    }
    return;
  }
  const pod = pods.get(id);
  if (!pod) {
    if (command.type === "stop") report({ type: "stopped", id, exitCode: 0 });
    return;
  }
  if (command.type === "stop") stop(id, pod, command.graceMs);
  else if (command.type === "fault") {
    const before = pod.fault;
    pod.fault = command.fault;
    if (command.fault === "reset") { for (const socket of pod.sockets) socket.resetAndDestroy(); }
    if (command.fault === "stall") { for (const socket of pod.sockets) socket.pause(); }
    if (command.fault === "refuse") unlisten(pod);
    else if (before === "refuse") await listen(pod);
    report({ type: "faulty", id });
  } else {
    let { bytesIn, bytesOut } = pod;
    for (const socket of pod.sockets) {
      bytesIn += socket.bytesRead;
      bytesOut += socket.bytesWritten;
    }
    const stats = { accepted: pod.accepted, open: pod.sockets.size, bytesIn, bytesOut };
    report({ type: "stats", id, stats });
  }
}

export function runPods(): void {
  process.on("message", (command: PodCommand) => void onCommand(command));
  process.on("disconnect", () => process.exit(0));
}
