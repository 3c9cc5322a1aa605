import assert from "node:assert/strict";
import type { Clock } from "../../src/model/clock.ts";
import { LiveEvents } from "../../src/inspector/events.ts";
import { port, service, session } from "./fixtures.ts";

/** Time by hand: `advance` runs what is due. */
function handClock() {
  let time = 0;
  let waiting: { at: number; run: () => void }[] = [];
  const clock: Clock = {
    now: () => time,
    monotonic: () => time,
    sleep: () => Promise.resolve(),
    after(ms, run) {
      const entry = { at: time + ms, run };
      waiting.push(entry);
      return () => waiting = waiting.filter((other) => other !== entry);
    },
  };
  const advance = (ms: number) => {
    const end = time + ms;
    while (true) {
      const next = waiting.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      waiting = waiting.filter((entry) => entry !== next);
      time = next.at;
      next.run();
    }
    time = end;
  };
  return { clock, advance, pending: () => waiting.length };
}

function bench() {
  const { clock, advance, pending } = handClock();
  const state = { sessions: [session([service("web")])], looked: 0 };
  const events = new LiveEvents({
    clock,
    sessions: () => state.sessions,
    look: () => state.looked++,
    hello: (full) => ({ full }),
    requests: (ids) => ids,
    unreadable: () => [],
  });
  return { events, state, advance, pending };
}

/** What a listener has been sent so far. */
function reader(answer: Response) {
  const stream = answer.body!.getReader();
  let text = "";
  const done = (async () => {
    for (let part; !(part = await stream.read()).done;) {
      text += new TextDecoder().decode(part.value);
    }
  })();
  return {
    async take() {
      // Everything enqueued so far arrives within a turn of the event loop.
      await new Promise((resolve) => setTimeout(resolve, 0));
      const taken = text;
      text = "";
      return taken;
    },
    done,
  };
}

Deno.test("LiveEvents tells shapes when they change and figures each second, and is quiet else", async () => {
  const { events, state, advance, pending } = bench();
  assert.equal(pending(), 0, "nothing ticks while nobody listens");
  const listener = reader(events.listen(true, () => {}));
  assert.match(
    await listener.take(),
    /^event: hello\ndata: .*\n\nevent: sessions\ndata: \[.*\n\n$/,
  );
  advance(5000);
  assert.equal(await listener.take(), "");
  assert.equal(state.looked, 1, "what nobody tells is asked for while somebody listens");
  state.sessions = [
    session([service("web", { ports: [port(80, { connections: 1, bytesDown: 9 })] })]),
  ];
  advance(1000);
  assert.equal(
    await listener.take(),
    'event: traffic\ndata: {"a1b2c3/sample-project/web//80":[1,9,0]}\n\n',
  );
  state.sessions = [session([service("web", { readyPods: 0 })])];
  events.sessionsChanged();
  assert.match(await listener.take(), /^event: sessions\n/);
  advance(20_000);
  assert.match(await listener.take(), /: still here\n\n$/);
  events.close();
  await listener.done;
  assert.equal(pending(), 0);
});

Deno.test("LiveEvents gathers changed requests, and drops those that were cleared", async () => {
  const { events, advance } = bench();
  const listener = reader(events.listen(true, () => {}));
  await listener.take();
  for (const id of ["1", "2", "1"]) events.requestChanged(id);
  assert.equal(await listener.take(), "");
  advance(200);
  assert.equal(await listener.take(), 'event: requests\ndata: ["1","2"]\n\n');
  events.requestChanged("3");
  events.cleared();
  advance(200);
  assert.equal(
    await listener.take(),
    "event: cleared\ndata: {}\n\nevent: unreadable\ndata: []\n\n",
  );
  events.close();
  await listener.done;
});

Deno.test("LiveEvents drops a listener that does not read, and stops ticking without any", async () => {
  const { events, pending } = bench();
  let ended = 0;
  const answer = events.listen(true, () => ended++);
  let sent = 0;
  for (; ended === 0 && sent < 1000; sent++) events.publish("requests", "x".repeat(10_000));
  assert.ok(sent > 90 && sent < 120, `dropped after ${sent} events of 10 kB`);
  assert.equal(pending(), 0);
  await answer.body?.cancel();
  assert.equal(ended, 1);
});
