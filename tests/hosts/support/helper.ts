import assert from "node:assert/strict";
import type { HostsEntry } from "../../../src/model/hosts.ts";
import { LineProcess } from "./line_process.ts";
import { BINARY, type Machine, type RunOptions } from "./machine.ts";

/** A helper started by hand in a machine, spoken to line by line. */
export class SpokenHelper extends LineProcess {
  /** As root, without a set-uid copy, unless told otherwise. */
  static async start(
    machine: Machine,
    command: readonly string[] = [BINARY, "helper"],
    options: RunOptions = {},
  ): Promise<SpokenHelper> {
    const helper = new SpokenHelper(machine.start(command, options));
    const hello = await helper.line();
    assert.equal(hello?.["hello"], "czfwd helper", JSON.stringify(hello));
    return helper;
  }

  /** Sends a request and gives the answer to it. */
  async ask(request: Record<string, unknown>): Promise<Record<string, unknown> | undefined> {
    await this.send(`${JSON.stringify({ id: 1, ...request })}\n`);
    return await this.line();
  }

  /** Applies and expects that it works. */
  async apply(...entries: HostsEntry[]): Promise<void> {
    const answer = await this.ask({ op: "apply", entries });
    assert.equal(answer?.["ok"], true, JSON.stringify(answer));
  }
}

export function entry(service: string, more: Partial<HostsEntry> = {}): HostsEntry {
  return {
    address: "127.1.31.1",
    service,
    namespace: "demo",
    domain: "cluster.local",
    bare: false,
    ...more,
  };
}
