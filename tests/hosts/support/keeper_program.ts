/**
 * A HostsKeeper as svc has it, as a process of its own that can be killed.
 * Orders come as JSON lines on stdin, answers go out the same way.
 */
// deno-lint-ignore-file no-console
import { systemClock } from "../../../src/platform/clock.ts";
import { silentLogger } from "../../../src/model/log.ts";
import { HostsKeeper } from "../../../src/hosts/client.ts";
import { saveOriginal } from "../../../src/hosts/original.ts";

const [version, original, ...command] = Deno.args as [string, string, ...string[]];
try {
  await saveOriginal(original);
  const keeper = await HostsKeeper.start({
    command: () => Promise.resolve(command),
    version,
    log: silentLogger,
    clock: systemClock,
  });
  console.log(JSON.stringify({ ready: keeper.state }));
  for await (const order of lines()) {
    const { op, ...rest } = JSON.parse(order);
    const answer = async () => {
      switch (op) {
        case "apply":
          return await keeper.apply(rest.entries);
        case "burst": {
          // Many changes at once: only the last has to be seen.
          const all = rest.bursts.map((entries: never) => keeper.apply(entries));
          return (await Promise.all(all)).length;
        }
        case "relay":
          return await keeper.relay(rest);
        case "unrelay":
          return await keeper.unrelay(rest);
        case "state":
          return keeper.state;
        case "close":
          return await keeper.close();
      }
    };
    // Not awaited: a keeper takes orders while one is under way.
    answer().then(
      (result) => console.log(JSON.stringify({ op, result: result ?? null })),
      (error) => console.log(JSON.stringify({ op, error: error.message })),
    );
    if (op === "close") break;
  }
} catch (error) {
  console.log(JSON.stringify({ error: (error as Error).message }));
}

async function* lines(): AsyncGenerator<string> {
  let rest = "";
  for await (const text of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
    const parts = (rest + text).split("\n");
    rest = parts.pop()!;
    yield* parts;
  }
}
