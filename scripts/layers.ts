/**
 * Which file may import which, and where the outside world may be touched
 * (docs/decisions/0062-layers.md). Run by `deno task test` and `deno task ok`,
 * and proven able to fail by tests/scripts/layers_test.ts.
 */
import { dirname, join, normalize, relative } from "node:path/posix";
import { BuildError, runScript } from "./build_error.ts";

/** Rooms by height: an import goes to a lower room or stays in its own. */
const HEIGHT: Record<string, number> = {
  model: 0,
  platform: 1,
  cluster: 2,
  tunnel: 2,
  hosts: 2,
  envfile: 2,
  inspector: 2,
  session: 3,
  cli: 4,
};

/** Node modules that reach files, sockets, processes or the terminal. */
const OUTSIDE_MODULES =
  /^node:(fs|net|tls|dgram|dns|http|https|http2|child_process|os|process|tty|readline|repl|worker_threads|cluster|sqlite|inspector)(\/|$)/;

/** What of node:net only computes with the text of addresses. */
const PURE_OF_NET = /^\s*\{(\s*(isIP(v[46])?|BlockList|SocketAddress)\s*,?)+\s*\}\s*$/;

/** What src/cli may use of Deno: its own terminal and its own end. */
const CLI_MAY = /^(stdin|stdout|stderr|exit|consoleSize)$/;

export interface SourceFile {
  /** Relative to the repository, with slashes: `src/cli/main.ts`. */
  readonly path: string;
  readonly text: string;
}

/** Everything wrong with the imports of these files, one line each; empty when all is well. */
export function layerProblems(files: readonly SourceFile[]): string[] {
  const problems: string[] = [];
  const known = new Set(files.map((file) => file.path));
  const edges = new Map<string, string[]>();
  for (const file of files) {
    const room = roomOf(file.path);
    const code = withoutComments(file.text);
    if (room !== undefined && HEIGHT[room] === undefined) {
      problems.push(`${file.path}: "${room}" is not a room of the design`);
      continue;
    }
    const targets: string[] = [];
    for (const found of importsOf(code)) {
      if (!found.specifier.startsWith(".")) {
        if (found.specifier === "node:net" && PURE_OF_NET.test(found.names)) continue;
        const problem = outsideImport(file.path, room, found.specifier);
        if (problem !== undefined) problems.push(problem);
        continue;
      }
      const target = normalize(join(dirname(file.path), found.specifier));
      if (!known.has(target)) {
        problems.push(`${file.path}: imports "${found.specifier}", which is not under src/`);
        continue;
      }
      const problem = direction(file.path, room, target);
      if (problem !== undefined) problems.push(problem);
      if (!found.typeOnly && !found.dynamic) targets.push(target);
    }
    edges.set(file.path, targets);
    problems.push(...outsideUses(file.path, room, withoutStrings(code)));
  }
  return [...problems, ...cycles(edges)];
}

/** `src/cli/x.ts` -> `cli`; undefined for main.ts, which may import every room. */
function roomOf(path: string): string | undefined {
  const [top, room, rest] = path.split("/");
  return top === "src" && rest !== undefined ? room : undefined;
}

function direction(from: string, room: string | undefined, target: string): string | undefined {
  const other = roomOf(target);
  if (room === undefined || other === room) return undefined;
  if (other === undefined) return `${from}: imports ${target}, which is above every room`;
  if (HEIGHT[other]! < HEIGHT[room]!) return undefined;
  const relation = HEIGHT[other] === HEIGHT[room] ? "a sibling of" : "above";
  return `${from}: imports ${target}, but ${other} is ${relation} ${room}`;
}

function outsideImport(from: string, room: string | undefined, specifier: string) {
  if (room === "model") return `${from}: imports "${specifier}", but model imports nothing`;
  if (room === undefined || room === "platform" || !OUTSIDE_MODULES.test(specifier)) {
    return undefined;
  }
  return `${from}: imports "${specifier}", which only src/platform may`;
}

function outsideUses(path: string, room: string | undefined, code: string): string[] {
  if (room === undefined || room === "platform") return [];
  const problems = new Set<string>();
  for (const match of code.matchAll(/(?<![\w.$])Deno\s*\.\s*(\w+)/g)) {
    if (room === "cli" && CLI_MAY.test(match[1]!)) continue;
    problems.add(`${path}: uses Deno.${match[1]}, which only src/platform may`);
  }
  for (const match of code.matchAll(/(?<![\w.$])process\s*\.\s*(\w+)\b(?!\s*:)/g)) {
    problems.add(`${path}: uses process.${match[1]}, which only src/platform may`);
  }
  return [...problems];
}

interface FoundImport {
  readonly specifier: string;
  /** What stands between `import` and `from`. */
  readonly names: string;
  readonly typeOnly: boolean;
  readonly dynamic: boolean;
}

function importsOf(code: string): FoundImport[] {
  const found: FoundImport[] = [];
  for (const match of code.matchAll(/^\s*(?:import|export)\s([^"';]*?)from\s+"([^"]+)"/gm)) {
    found.push({
      specifier: match[2]!,
      names: match[1]!,
      typeOnly: /^\s*type\s/.test(match[1]!),
      dynamic: false,
    });
  }
  for (const match of code.matchAll(/^\s*import\s+"([^"]+)"/gm)) {
    found.push({ specifier: match[1]!, names: "", typeOnly: false, dynamic: false });
  }
  for (const match of code.matchAll(/\bimport\(\s*"([^"]+)"\s*\)/g)) {
    found.push({ specifier: match[1]!, names: "", typeOnly: false, dynamic: true });
  }
  return found;
}

/** Loops of static value imports, each told once, from its first file in order. */
function cycles(edges: ReadonlyMap<string, readonly string[]>): string[] {
  const problems: string[] = [];
  const done = new Set<string>();
  const path: string[] = [];
  const visit = (file: string) => {
    const at = path.indexOf(file);
    if (at !== -1) {
      problems.push(`imports go round in a circle: ${[...path.slice(at), file].join(" -> ")}`);
      return;
    }
    if (done.has(file)) return;
    path.push(file);
    for (const target of edges.get(file) ?? []) visit(target);
    path.pop();
    done.add(file);
  };
  for (const file of [...edges.keys()].sort()) visit(file);
  return problems;
}

/** Good enough for formatted sources: comments that begin a line or follow a blank. */
function withoutComments(text: string): string {
  return text
    .replace(/(^|\s)\/\*[\s\S]*?\*\//g, "$1")
    .replace(/(^|\s)\/\/.*$/gm, "$1");
}

function withoutStrings(code: string): string {
  return code.replace(/"(?:[^"\\\n]|\\.)*"/g, '""').replace(/'(?:[^'\\\n]|\\.)*'/g, "''");
}

/** main.ts and everything under src/. */
export async function sourceFiles(root: string): Promise<SourceFile[]> {
  const files: SourceFile[] = [];
  const add = async (path: string) => {
    files.push({ path: relative(root, path), text: await Deno.readTextFile(path) });
  };
  const walk = async (folder: string) => {
    for await (const entry of Deno.readDir(folder)) {
      const path = join(folder, entry.name);
      if (entry.isDirectory) await walk(path);
      else if (entry.name.endsWith(".ts")) await add(path);
    }
  };
  await add(join(root, "main.ts"));
  await walk(join(root, "src"));
  return files.sort((a, b) => (a.path < b.path ? -1 : 1));
}

if (import.meta.main) {
  await runScript(async () => {
    const files = await sourceFiles(new URL("..", import.meta.url).pathname);
    const problems = layerProblems(files);
    if (problems.length > 0) throw new BuildError(`Wrong imports:\n  ${problems.join("\n  ")}`);
  });
}
