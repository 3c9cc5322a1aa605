import assert from "node:assert/strict";
import type { ByteConn } from "../../src/platform/net.ts";
import { tcpOver } from "../../src/platform/tcp_over.ts";
import { writeAll } from "../../src/platform/net.ts";
import { until } from "../until.ts";

/** A far side that gives back what it gets. */
class Mirror implements ByteConn {
  readonly direct = false;
  closed = false;
  ended = false;
  #have: Uint8Array[] = [];
  #wake = Promise.withResolvers<void>();

  async read(into: Uint8Array): Promise<number> {
    for (;;) {
      if (this.closed) throw new Error("closed");
      const [first] = this.#have;
      if (first !== undefined) {
        const count = Math.min(first.length, into.length);
        into.set(first.subarray(0, count));
        if (count === first.length) this.#have.shift();
        else this.#have[0] = first.subarray(count);
        return count;
      }
      if (this.ended) return 0;
      await this.#wake.promise;
      this.#wake = Promise.withResolvers();
    }
  }

  write(bytes: Uint8Array): Promise<number> {
    const count = Math.min(bytes.length, 1000);
    this.#have.push(bytes.slice(0, count));
    this.#wake.resolve();
    return Promise.resolve(count);
  }

  closeWrite(): Promise<void> {
    this.ended = true;
    this.#wake.resolve();
    return Promise.resolve();
  }

  close(): void {
    this.closed = true;
    this.#wake.resolve();
  }
}

const never = new AbortController().signal;

for (const nodeTls of [false, true]) {
  const kind = nodeTls ? "a socket of Node's" : "a connection of Deno's";
  Deno.test(`tcpOver() carries both ways and ends with either side, over ${kind}`, async () => {
    const far = new Mirror();
    const near = await tcpOver(far, nodeTls, never);
    const sent = crypto.getRandomValues(new Uint8Array(50_000));
    const got = new Uint8Array(sent.length);
    const reading = (async () => {
      for (let at = 0; at < got.length;) at += await near.read(got.subarray(at));
    })();
    await writeAll(near, sent);
    await reading;
    assert.deepEqual(got, sent);
    near.close();
    await until("the far side's end", () => far.closed);

    const other = new Mirror();
    const lost = await tcpOver(other, nodeTls, never);
    other.close();
    assert.equal(await lost.read(new Uint8Array(10)).catch(() => 0), 0);
    lost.close();
  });
}

Deno.test("tcpOver() that is called off closes the far side", async () => {
  const far = new Mirror();
  await assert.rejects(tcpOver(far, false, AbortSignal.abort(new Error("enough"))), /enough/);
  assert.ok(far.closed);
});
