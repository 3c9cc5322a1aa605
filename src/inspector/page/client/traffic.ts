/** Figures of the tunnels over the last minute. */
import type { SessionFacts, Traffic } from "../../facts.ts";

const SECONDS = 60;

interface Known {
  now: Traffic;
  /** Bytes learnt of since the last tick. */
  down: number;
  up: number;
}

export interface Rates {
  readonly connections: number;
  readonly down: number;
  readonly up: number;
  /** Bytes of both ways in each of the last seconds. */
  readonly history: readonly number[];
}

/** Turns counters into rates, a second at a time. */
export class TrafficBook {
  readonly #ports = new Map<string, Known>();
  readonly #history = new Map<string, number[]>();
  /** Bytes down and up in the last second. */
  readonly #last = new Map<string, readonly [number, number]>();

  /** Figures as they are in a listing of the sessions. */
  reset(sessions: readonly SessionFacts[], keyOf: (session: string, at: PortAt) => string): void {
    const seen = new Set<string>();
    for (const session of sessions) {
      for (const service of session.services) {
        for (const port of service.ports) {
          const key = keyOf(session.id, { service, port });
          seen.add(key);
          const now: Traffic = [port.connections, port.bytesDown, port.bytesUp];
          const known = this.#ports.get(key);
          if (known === undefined) this.#ports.set(key, { now, down: 0, up: 0 });
          else this.#learn(known, now);
        }
      }
    }
    for (const key of [...this.#ports.keys()]) {
      if (seen.has(key)) continue;
      this.#ports.delete(key);
      this.#history.delete(key);
      this.#last.delete(key);
    }
  }

  /** Forgets all: what flowed while nobody listened must not look like one second's. */
  clear(): void {
    for (const map of [this.#ports, this.#history, this.#last]) map.clear();
  }

  update(changes: Readonly<Record<string, Traffic>>): void {
    for (const [key, now] of Object.entries(changes)) {
      const known = this.#ports.get(key);
      if (known !== undefined) this.#learn(known, now);
    }
  }

  /** Ends a second: what was learnt in it becomes the newest point of the graph. */
  tick(): void {
    for (const [key, known] of this.#ports) {
      const history = this.#history.get(key) ?? [];
      if (history.length === 0 && known.down + known.up === 0) continue;
      history.push(known.down + known.up);
      if (history.length > SECONDS) history.shift();
      if (history.some((value) => value > 0)) this.#history.set(key, history);
      else this.#history.delete(key);
      this.#last.set(key, [known.down, known.up]);
      known.down = 0;
      known.up = 0;
    }
  }

  /** The sum over some ports. */
  rates(keys: readonly string[]): Rates {
    let [connections, down, up] = [0, 0, 0];
    let history: number[] = [];
    for (const key of keys) {
      connections += this.#ports.get(key)?.now[0] ?? 0;
      const points = this.#history.get(key);
      if (points === undefined) continue;
      if (history.length === 0) history = new Array<number>(SECONDS).fill(0);
      const [lastDown, lastUp] = this.#last.get(key) ?? [0, 0];
      down += lastDown;
      up += lastUp;
      for (const [at, value] of points.entries()) history[SECONDS - points.length + at]! += value;
    }
    return { connections, down, up, history };
  }

  figures(key: string): Traffic {
    return this.#ports.get(key)?.now ?? [0, 0, 0];
  }

  #learn(known: Known, now: Traffic): void {
    known.down += Math.max(0, now[1] - known.now[1]);
    known.up += Math.max(0, now[2] - known.now[2]);
    known.now = now;
  }
}

type Service = SessionFacts["services"][number];

export interface PortAt {
  readonly service: Service;
  readonly port: Service["ports"][number];
}
