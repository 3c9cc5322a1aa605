/**
 * WebSocket channels (v4.channel.k8s.io): one connection per port, channel 2n
 * data, 2n+1 error. Source: k8s.io/kubelet/pkg/cri/streaming/portforward/websocket.go.
 */
import { Buffer } from "node:buffer";
import { Forward } from "./forward.ts";
import type { ForwardTarget } from "./target.ts";
import type { LinkHooks } from "./spdy_link.ts";
import type { Wire } from "./wire.ts";

export class ChannelsLink {
  streamsTotal = 0;
  bytesUp = 0;
  bytesDown = 0;
  readonly pings = 0;
  readonly #forwards = new Map<number, Forward>();
  readonly #waiting = new Set<Forward>();
  #congested = 0;
  #channel = 0;
  #closed = false;

  constructor(
    readonly wire: Wire,
    readonly target: ForwardTarget,
    readonly ports: readonly number[],
    readonly timings: { readonly lingerMs: number },
    readonly hooks: LinkHooks,
  ) {}

  get streams(): number {
    return this.#forwards.size;
  }

  start(): void {
    this.ports.forEach((port, i) => {
      const bytes = [port & 0xff, port >> 8];
      this.wire.write(Buffer.from([i * 2, ...bytes]));
      this.wire.write(Buffer.from([i * 2 + 1, ...bytes]));
    });
    this.ports.forEach((port, i) => this.#open(i * 2, port));
  }

  #open(channel: number, port: number): void {
    this.streamsTotal++;
    const forward: Forward = new Forward(this.target, port, this.timings.lingerMs, {
      headLength: this.wire.headLength + 1,
      head: (block, at, length) => {
        this.bytesDown += length;
        block[at - 1] = channel;
        return 1 + this.wire.head(block, at - 1, 1 + length);
      },
      data: (block, from, to, written) => {
        if (this.wire.writeBlock(block, from, to, written)) return true;
        this.#waiting.add(forward);
        return false;
      },
      finish: (error) => {
        this.#forwards.delete(channel);
        this.#waiting.delete(forward);
        if (this.#closed) return;
        if (error !== undefined) {
          this.wire.write(Buffer.from([channel + 1]), Buffer.from(error));
        }
        if (this.#forwards.size > 0) return;
        this.#closed = true;
        this.wire.end();
        this.hooks.close();
      },
      congested: (full) => {
        this.#congested += full ? 1 : -1;
        this.hooks.reading(this.#congested === 0);
      },
    });
    this.#forwards.set(channel, forward);
    forward.start();
  }

  /** Payload of a message, piece by piece; the first byte of a message is the channel. */
  receive(payload: Buffer, first: boolean): void {
    if (first) this.#channel = payload[0] ?? 0;
    const data = first ? payload.subarray(1) : payload;
    this.bytesUp += data.length;
    if (data.length > 0) this.#forwards.get(this.#channel)?.write(data);
  }

  drained(): void {
    for (const forward of this.#waiting) {
      this.#waiting.delete(forward);
      forward.resume();
    }
  }

  podGone(): void {
    for (const forward of [...this.#forwards.values()]) forward.podGone();
  }

  closed(): void {
    this.#closed = true;
    for (const forward of [...this.#forwards.values()]) forward.abort();
  }
}
