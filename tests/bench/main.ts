/**
 * `deno task bench`: czctl and kubectl side by side, and czctl against its
 * goals. Options: `--only NAME` (repeatable), `--rounds N`, `--ms N`,
 * `--write`, `--no-compile`, `--binary PATH` (another build, to compare two).
 */
import { loadavg } from "node:os";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { compile } from "../../scripts/compile.ts";
import { ensureKubectl } from "../cluster/kubectl.ts";
import { farAway, type FarRow } from "./far.ts";
import { type Credentials, MEASURES } from "./measures.ts";
import { heldMemory, idleMemory, type MemoryRow } from "./memory.ts";
import { BEGIN, END, report } from "./report.ts";
import { benchCluster, type LoadedMemory, runRounds, type Sample } from "./rounds.ts";
import { Czctl } from "./tools.ts";
import { stalledPrograms, type StalledRow } from "./stalled.ts";
import { type ScaleRow, scaleStep, STEPS } from "./scale.ts";

const PAGE = new URL("../../docs/performance.md", import.meta.url).pathname;
const CREDENTIALS: readonly Credentials[] = ["token", "certificate"];
const NAMES = [
  ...new Set(MEASURES.map((measure) => measure.name)),
  ...CREDENTIALS,
  "memory",
  "idle",
  "far",
  "stalled",
  "scale",
];

function say(text: string): void {
  Deno.stderr.writeSync(new TextEncoder().encode(`${text}\n`));
}

function usage(reason: string): never {
  say(`${reason}\nUsage: deno task bench [-- --only NAME ...] [--rounds N] [--ms N] [--write]`);
  say(`NAME: ${NAMES.join(", ")}`);
  Deno.exit(2);
}

const { values } = parseArgs({
  // `deno task bench -- --only x` hands the two dashes on.
  args: Deno.args.filter((one, index) => !(index === 0 && one === "--")),
  options: {
    only: { type: "string", multiple: true, default: [] },
    rounds: { type: "string", default: "4" },
    ms: { type: "string", default: "1200" },
    write: { type: "boolean", default: false },
    "no-compile": { type: "boolean", default: false },
    binary: { type: "string" },
  },
});
const only = new Set(values.only);
for (const name of only) if (!NAMES.includes(name)) usage(`No such measure: "${name}"`);
const rounds = Number(values.rounds);
const ms = Number(values.ms);
if (!(rounds >= 1) || !(ms >= 100)) usage("--rounds and --ms are numbers");
if (Deno.uid() !== 0) usage("The measures need root, for a mount namespace of their own");

const wantedCredentials = CREDENTIALS.filter((one) =>
  CREDENTIALS.every((any) => !only.has(any)) || only.has(one)
);
const measures = MEASURES.filter((measure) => only.size === 0 || only.has(measure.name));
const wants = (name: string) => only.size === 0 || only.has(name);

const started = performance.now();
if (values.binary !== undefined) Czctl.binary = resolve(values.binary);
else if (!values["no-compile"]) await compile({ note: say });
const kubectl = await ensureKubectl();
const before = loadavg()[0]!;
const samples: Sample[] = [];
const memory: MemoryRow[] = [];
const far: FarRow[] = [];
const stalled: StalledRow[] = [];
const scale: ScaleRow[] = [];
const failures: string[] = [];
const afterLoad: LoadedMemory[] = [];
let idle: number | undefined;

/** `--only token` alone means every measure with tokens. */
const anyMeasure = measures.length > 0
  ? measures
  : [...only].every((one) => CREDENTIALS.includes(one as Credentials))
  ? MEASURES
  : [];

if (anyMeasure.length > 0 || wants("memory") || wants("far") || wants("stalled")) {
  await using cluster = await benchCluster();
  for (const credentials of wantedCredentials) {
    if (anyMeasure.length > 0) {
      samples.push(
        ...await runRounds({
          cluster,
          kubectl,
          credentials,
          measures: anyMeasure,
          rounds,
          ms,
          say,
          failures,
          afterLoad,
        }),
      );
    }
    if (wants("memory")) {
      say(`${credentials}: memory with connections open`);
      memory.push(...await heldMemory(cluster, kubectl, credentials));
    }
    if (wants("far")) {
      say(`${credentials}: a far-away cluster`);
      far.push(...await farAway(cluster, kubectl, credentials));
    }
    if (wants("stalled")) {
      say(`${credentials}: beside a program that reads nothing`);
      stalled.push(...await stalledPrograms(cluster, kubectl, credentials));
    }
  }
}
if (wants("idle")) {
  say("memory with idle services");
  idle = await idleMemory();
}
if (wants("scale")) {
  for (const step of STEPS) {
    say(`${step.services} services`);
    scale.push(await scaleStep(step));
  }
}

const text = report({
  rounds,
  windowMs: ms,
  kubectl,
  czctl: await versionOf(),
  samples,
  memory,
  ...(idle === undefined ? {} : { idle }),
  far,
  stalled,
  scale,
  failures,
  afterLoad,
  load: [before, loadavg()[0]!],
  minutes: (performance.now() - started) / 60_000,
});
Deno.stdout.writeSync(new TextEncoder().encode(text));
if (values.write) await write(text);
if (failures.length > 0) Deno.exitCode = 1;

async function versionOf(): Promise<string> {
  const { stdout } = await new Deno.Command(Czctl.binary, { args: ["version"] }).output();
  return new TextDecoder().decode(stdout).split("\n")[0]!.trim();
}

/** Puts the results between the markers of docs/performance.md. */
async function write(results: string): Promise<void> {
  const page = await Deno.readTextFile(PAGE);
  const from = page.indexOf(BEGIN);
  const to = page.indexOf(END);
  if (from < 0 || to < from) throw new Error(`No place for the results in ${PAGE}`);
  const head = page.slice(0, from + BEGIN.length);
  await Deno.writeTextFile(PAGE, `${head}\n\n${results}\n${page.slice(to)}`);
}
