/**
 * `czfwd helper`: the one part of czctl that runs as root. It edits the czctl
 * block of its user in /etc/hosts and listens on low ports inside 127.1.0.0/16,
 * as svc asks over stdin; when svc is gone, however it went, it takes the block
 * out and ends. It starts no program and takes no path from anybody.
 */
import { CzctlError, messageOf } from "../model/errors.ts";
import type { HostsEntry, HostsResult } from "../model/hosts.ts";
import { buildInfo } from "../platform/build_info.ts";
import { systemClock } from "../platform/clock.ts";
import { realFiles } from "../platform/files.ts";
import {
  confine,
  type Identity,
  onEndSignals,
  readStdin,
  writeStdout,
} from "../platform/helper_process.ts";
import { type BlockLine, editBlock } from "./block.ts";
import { bytesOf } from "./bytes.ts";
import { checkInstalledFor } from "./installed.ts";
import { composeBlock, surroundingsOf } from "./names.ts";
import { MAX_HOSTS_BYTES, SELINUX_FOLDER, SYSTEM_PLACE } from "./place.ts";
import {
  type HelperAnswer,
  type HelperHello,
  type HelperRequest,
  MAX_REQUEST_BYTES,
  parseRequest,
  ProtocolViolation,
} from "./protocol.ts";
import { BlockLock } from "./lock.ts";
import { LowPorts } from "./low_ports.ts";
import { HostsTransaction } from "./transaction.ts";

/** A helper whose svc was killed needs a moment for its last edit, in ms. */
const BLOCK_WAIT_MS = 3_000;
/** How long the last edit waits for the lock, in ms: nobody comes after it to clean up. */
const LAST_LOCK_WAIT_MS = 30_000;

/**
 * Runs the helper on stdin and stdout; resolves with the exit code. With
 * `--probe` it only says its version and user ids, for the check of an
 * installed copy.
 */
export async function runHelper(args: readonly string[]): Promise<number> {
  const self = await confine();
  try {
    const hello = await helloOf(self);
    const block = new BlockLock(realFiles, SYSTEM_PLACE, systemClock, self.uid);
    if (args.includes("--probe")) {
      await say(args.includes("--kept") ? { ...hello, kept: await isHeld(block) } : hello);
      return 0;
    }
    const held = await block.acquire(BLOCK_WAIT_MS);
    try {
      await say(hello);
      return await new Helper(self).run();
    } finally {
      await block.discard(held);
    }
  } catch (error) {
    const known = error instanceof CzctlError
      ? error
      : new CzctlError("failed", `Cannot go on as the helper: ${messageOf(error)}`);
    await say({ fatal: known.toJSON() }).catch(() => {});
    return known.exitCode;
  }
}

async function isHeld(block: BlockLock): Promise<boolean> {
  const lock = await block.acquire(0).catch(() => undefined);
  if (lock !== undefined) await block.discard(lock);
  return lock === undefined;
}

async function helloOf(self: Identity): Promise<HelperHello> {
  const { uid, euid, pid } = self;
  if (euid !== 0) {
    throw new CzctlError("not_elevated", "Cannot run as the helper: it does not run as root", {
      hint: "Install it with: czctl start",
    });
  }
  if (uid !== euid) await checkInstalledFor(realFiles, self.program, uid);
  return { hello: "czfwd helper", version: buildInfo().version, pid, uid, euid };
}

class Helper {
  readonly #self: Identity;
  readonly #ports: LowPorts;
  /** The lines this process last put into the block. */
  #written: readonly BlockLine[] = [];
  /** The edit under way; the last one waits for it, so that nothing comes behind the last one. */
  #current: Promise<unknown> = Promise.resolve();
  #ending = false;
  #keepInode = false;

  constructor(self: Identity) {
    this.#self = self;
    this.#ports = new LowPorts(() => this.#otherAddresses());
  }

  /** Serves until the end of input, a signal, or a request that is none. */
  async run(): Promise<number> {
    this.#keepInode = await realFiles.lstat(SELINUX_FOLDER) !== undefined;
    let violation: unknown;
    const ended = Promise.withResolvers<void>();
    const stopListening = onEndSignals(() => ended.resolve());
    // A bug must not leave the block behind either.
    const onBug = (event: PromiseRejectionEvent) => {
      event.preventDefault();
      ended.reject(event.reason);
    };
    globalThis.addEventListener("unhandledrejection", onBug);
    try {
      await Promise.race([ended.promise, this.#serve()]);
    } catch (error) {
      violation = error;
    }
    this.#ending = true;
    await this.#ports.close();
    await this.#current.catch(() => {});
    await this.#restore();
    stopListening();
    globalThis.removeEventListener("unhandledrejection", onBug);
    if (violation !== undefined) throw violation;
    return 0;
  }

  async #serve(): Promise<void> {
    for await (const line of requestLines()) {
      const request = parseRequest(line);
      await say(await this.#answer(request));
    }
  }

  async #answer(request: HelperRequest): Promise<HelperAnswer> {
    const { id } = request;
    try {
      switch (request.op) {
        case "ping":
          return { id, ok: true };
        case "apply":
          return { id, ok: true, result: await this.#apply(request.entries) };
        case "relay":
          await this.#ports.open(request.address, request.port, request.to);
          return { id, ok: true };
        case "unrelay":
          await this.#ports.shut(request.address, request.port);
          return { id, ok: true };
      }
    } catch (error) {
      if (error instanceof CzctlError) return { id, ok: false, error: error.toJSON() };
      throw error;
    }
  }

  async #apply(entries: readonly HostsEntry[]): Promise<HostsResult> {
    if (this.#ending) throw new CzctlError("failed", "Cannot edit the hosts file: ending");
    let composed: ReturnType<typeof composeBlock> | undefined;
    const { uid, hostName } = this.#self;
    const edit = this.#transaction().run((current) => {
      composed = composeBlock(entries, surroundingsOf(current, uid), hostName);
      return editBlock(current, uid, composed.lines, this.#written);
    });
    this.#current = edit;
    const { changed } = await edit;
    const { lines, leftOut } = composed!;
    this.#written = lines;
    return { lines, leftOut, changed };
  }

  /** Takes the block out. Throws when that cannot be done. */
  async #restore(): Promise<void> {
    const transaction = this.#transaction(LAST_LOCK_WAIT_MS);
    await transaction.run((current) => editBlock(current, this.#self.uid, [], this.#written));
    await transaction.close();
  }

  async #otherAddresses(): Promise<ReadonlyMap<string, number>> {
    const file = await realFiles.open(SYSTEM_PLACE.hosts, "read");
    try {
      const content = await file.read(MAX_HOSTS_BYTES);
      return surroundingsOf(content, this.#self.uid).addresses;
    } finally {
      await file.close();
    }
  }

  #transaction(lockWaitMs?: number): HostsTransaction {
    return new HostsTransaction(realFiles, SYSTEM_PLACE, systemClock, {
      keepInode: this.#keepInode,
      checkWay: this.#self.uid !== this.#self.euid,
      ...(lockWaitMs === undefined ? {} : { lockWaitMs }),
    });
  }
}

async function say(message: HelperHello | HelperAnswer): Promise<void> {
  await writeStdout(bytesOf(`${JSON.stringify(message)}\n`));
}

/** The lines of stdin. Throws ProtocolViolation for one that is too long. */
async function* requestLines(): AsyncGenerator<string> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  const buffer = new Uint8Array(64 * 1024);
  let parts: Uint8Array[] = [];
  let length = 0;
  for (;;) {
    const count = await readStdin(buffer);
    if (count === undefined) return;
    let rest = buffer.slice(0, count);
    for (let end = rest.indexOf(0x0a); end !== -1; end = rest.indexOf(0x0a)) {
      parts.push(rest.subarray(0, end));
      yield decodeLine(decoder, parts);
      parts = [];
      length = 0;
      rest = rest.subarray(end + 1);
    }
    parts.push(rest);
    length += rest.length;
    if (length > MAX_REQUEST_BYTES) {
      throw new ProtocolViolation(`a request is longer than ${MAX_REQUEST_BYTES} bytes`);
    }
  }
}

function decodeLine(decoder: TextDecoder, parts: readonly Uint8Array[]): string {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  try {
    return decoder.decode(whole);
  } catch {
    throw new ProtocolViolation("a request is not UTF-8");
  }
}
