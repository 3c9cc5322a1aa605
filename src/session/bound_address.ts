import type { PortInfo } from "../model/control.ts";
import { messageOf } from "../model/errors.ts";
import type { PlannedAddress, PlannedPort } from "./plan.ts";
import { type Engine, type Listener, portTrouble, type Relays } from "./rooms.ts";

interface BoundPort {
  readonly planned: PlannedPort;
  readonly listener: Listener | undefined;
  readonly relayed: boolean;
  /** Why it is not bound; then it is tried again. */
  readonly blocked: string | undefined;
}

/**
 * One address with its listeners. Follows its plan: ports come and go, and a
 * port that cannot be bound is left for a later try, without touching the
 * others.
 */
export class BoundAddress {
  readonly #ports = new Map<number, BoundPort>();
  #planned: PlannedAddress;

  constructor(
    readonly address: string,
    planned: PlannedAddress,
    private readonly engine: Engine,
    private readonly relays: Relays,
  ) {
    this.#planned = planned;
  }

  get planned(): PlannedAddress {
    return this.#planned;
  }

  get blockedPorts(): readonly { port: number; reason: string }[] {
    return [...this.#ports.values()].flatMap((bound) =>
      bound.blocked === undefined ? [] : [{ port: bound.planned.port, reason: bound.blocked }]
    );
  }

  /**
   * Binds what is new or was blocked, closes what is gone, hands on the endpoints. A port that is
   * only called otherwise, or now sticks to clients, keeps its connections, as in the cluster.
   */
  async follow(planned: PlannedAddress): Promise<void> {
    this.#planned = planned;
    const wanted = new Map(planned.ports.map((port) => [port.port, port]));
    for (const [number, bound] of this.#ports) {
      const port = wanted.get(number);
      if (port && bound.listener) {
        bound.listener.update(planned.endpoints, this.#editable(port));
        this.#ports.set(number, { ...bound, planned: port });
        wanted.delete(number);
      } else {
        await this.#unbind(number, bound);
      }
    }
    for (const port of wanted.values()) this.#ports.set(port.port, await this.#bind(port));
  }

  /** True when a port that was blocked is bound now. */
  async retryBlocked(): Promise<boolean> {
    let freed = false;
    for (const [number, bound] of this.#ports) {
      if (bound.blocked === undefined) continue;
      const again = await this.#bind(bound.planned);
      this.#ports.set(number, again);
      freed ||= again.blocked === undefined;
    }
    return freed;
  }

  /**
   * Nothing listens any more. Connections go on, as they do in a cluster whose Service is deleted:
   * who makes one anew would otherwise cut off every database pool (docs/decisions/0162).
   */
  async close(): Promise<void> {
    await Promise.all([...this.#ports].map(([number, bound]) => this.#unbind(number, bound)));
  }

  portInfos(): PortInfo[] {
    return this.#planned.ports.map((port) => {
      const bound = this.#ports.get(port.port);
      const stats = bound?.listener?.stats;
      return {
        port: port.port,
        name: port.name,
        state: bound?.blocked !== undefined ? "blocked" : bound?.relayed ? "relayed" : "listening",
        ...(bound?.blocked === undefined ? {} : { reason: bound.blocked }),
        connections: stats?.connections ?? 0,
        bytesDown: stats?.bytesDown ?? 0,
        bytesUp: stats?.bytesUp ?? 0,
        failed: stats?.failed ?? 0,
        ...(stats?.lastFailure === undefined ? {} : { lastFailure: stats.lastFailure }),
      };
    });
  }

  #editable({ name, targetName, appProtocol }: PlannedPort) {
    const { affinitySeconds } = this.#planned;
    return {
      portName: name,
      ...(targetName === undefined ? {} : { targetName }),
      ...(appProtocol === undefined ? {} : { appProtocol }),
      ...(affinitySeconds === undefined ? {} : { affinitySeconds }),
    };
  }

  async #bind(port: PlannedPort): Promise<BoundPort> {
    const spec = {
      address: this.address,
      port: port.port,
      service: { namespace: this.#planned.namespace, name: this.#planned.service },
      ...this.#editable(port),
    };
    let listener: Listener | undefined;
    let relayed = false;
    try {
      try {
        listener = await this.engine.listen(spec);
      } catch (error) {
        if (portTrouble(error)?.kind !== "permission") throw error;
        listener = await this.engine.listen({ ...spec, bindPort: 0 });
        await this.relays.relay({ address: this.address, port: port.port, to: listener.boundPort });
        relayed = true;
      }
      listener.update(this.#planned.endpoints);
      return { planned: port, listener, relayed, blocked: undefined };
    } catch (error) {
      await listener?.close();
      return { planned: port, listener: undefined, relayed: false, blocked: messageOf(error) };
    }
  }

  async #unbind(number: number, bound: BoundPort): Promise<void> {
    this.#ports.delete(number);
    if (bound.relayed) {
      await this.relays.unrelay({ address: this.address, port: number }).catch(() => {});
    }
    await bound.listener?.release();
  }
}
