/** The steps that `deno task test` and `deno task ok` share, each a process of its own. */
import { join } from "node:path";
import { compile } from "./compile.ts";

export const ROOT = new URL("..", import.meta.url).pathname;

export interface StepResult {
  readonly name: string;
  readonly passed: number;
  readonly failed: number;
  /** Names of the tests that were not run here (needing root, or a program that is not there). */
  readonly skipped: readonly string[];
  /** What it printed; worth showing only when something failed. */
  readonly output: string;
  readonly seconds: number;
}

/** Runs one command of Deno as a check that passes or fails as a whole. */
export async function check(name: string, args: string[], limitMs: number): Promise<StepResult> {
  const { ok, output, seconds } = await deno(args, limitMs);
  return { name, passed: ok ? 1 : 0, failed: ok ? 0 : 1, skipped: [], output, seconds };
}

/** Runs the tests of one folder under tests/. */
export async function suite(name: string, limitMs: number): Promise<StepResult> {
  const args = ["test", "-A", "--no-check", "--trace-leaks", join("tests", name)];
  const { ok, output, seconds } = await deno(args, limitMs);
  const counts = countsOf(output);
  if (counts === undefined) {
    return { name, passed: 0, failed: 1, skipped: [], output, seconds };
  }
  // A suite that ends badly although no test failed (a leak at exit, a crash) has failed.
  const failed = ok ? counts.failed : Math.max(counts.failed, 1);
  return { name, passed: counts.passed, failed, skipped: counts.skipped, output, seconds };
}

/** Reads the summary of `deno test`; undefined when there is none. */
export function countsOf(output: string) {
  const summaries = [
    ...output.matchAll(
      /^(?:ok|FAILED) \| (\d+) passed.*?\| (\d+) failed(?:.*?\| (\d+) ignored)?/gm,
    ),
  ];
  const last = summaries.at(-1);
  if (last === undefined) return undefined;
  const skipped = [...output.matchAll(/^(.+?) \.\.\. ignored/gm)].map((match) => match[1]!.trim());
  return { passed: Number(last[1]), failed: Number(last[2]), skipped };
}

/** Folders under tests/ that hold tests, in order. */
export async function suites(): Promise<string[]> {
  const found: string[] = [];
  for await (const entry of Deno.readDir(join(ROOT, "tests"))) {
    if (entry.isDirectory && (await holdsTests(join(ROOT, "tests", entry.name)))) {
      found.push(entry.name);
    }
  }
  return found.sort();
}

async function holdsTests(folder: string): Promise<boolean> {
  for await (const entry of Deno.readDir(folder)) {
    if (entry.isFile && /(^|[_.])test\.ts$/.test(entry.name)) return true;
    if (entry.isDirectory && (await holdsTests(join(folder, entry.name)))) return true;
  }
  return false;
}

/** Format, lint, types and layers: what needs no running. */
export function staticChecks(): (() => Promise<StepResult>)[] {
  const minutes = 60_000;
  return [
    () => check("format", ["fmt", "--check", "--quiet"], 2 * minutes),
    () => check("lint", ["lint", "--quiet"], 2 * minutes),
    () =>
      check("types", ["check", "--quiet", "main.ts", "src/", "scripts/", "tests/"], 5 * minutes),
    () => check("layers", ["run", "-A", "--no-check", "scripts/layers.ts"], minutes),
  ];
}

/** Makes dist/czctl, which several suites drive. */
export async function compileStep(): Promise<StepResult> {
  const started = performance.now();
  const said: string[] = [];
  const result = (failed: number) => ({
    name: "compile",
    passed: 1 - failed,
    failed,
    skipped: [],
    output: said.join("\n"),
    seconds: (performance.now() - started) / 1000,
  });
  try {
    await compile({ note: (text) => said.push(text) });
    return result(0);
  } catch (error) {
    said.push(error instanceof Error ? error.message : String(error));
    return result(1);
  }
}

async function deno(args: string[], limitMs: number) {
  const started = performance.now();
  const child = new Deno.Command(Deno.execPath(), {
    args,
    cwd: ROOT,
    env: { NO_COLOR: "1", RUST_BACKTRACE: "0" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let late = false;
  const kill = (signal: Deno.Signal) => {
    try {
      child.kill(signal);
    } catch {
      // It has ended in the meantime.
    }
  };
  let last: number | undefined;
  const timer = setTimeout(() => {
    late = true;
    kill("SIGTERM");
    last = setTimeout(() => kill("SIGKILL"), 10_000);
  }, limitMs);
  const { success, stdout, stderr } = await child.output();
  clearTimeout(timer);
  clearTimeout(last);
  const decoder = new TextDecoder();
  let output = [decoder.decode(stdout), decoder.decode(stderr)].filter(Boolean).join("\n");
  if (late) output += `\nstopped: not done after ${limitMs / 60_000} minutes`;
  return { ok: success && !late, output, seconds: (performance.now() - started) / 1000 };
}
