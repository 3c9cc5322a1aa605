import type { Command } from "commander";
import { EXIT } from "../../model/errors.ts";
import { CommandHost } from "../command_host.ts";
import type { CliContext } from "../context.ts";
import { readCommandLine } from "../grammar.ts";
import { kindOf, KINDS } from "../kinds.ts";
import { buildProgram } from "../program.ts";
import { plain } from "../text.ts";
import type { Sources } from "./sources.ts";

export interface Candidate {
  readonly value: string;
  readonly description?: string;
}

/** Stands for file names, which the shell knows best. */
const FILES: Candidate = { value: ":files" };

/** `czctl __complete WORD...`: what the last word, maybe empty, could become. */
export async function complete(words: readonly string[], context: CliContext): Promise<number> {
  try {
    const { clusterSources } = await import("./sources.ts");
    for (const { value, description } of await candidates(words, context, clusterSources)) {
      // A name that needs escaping is no name of Kubernetes; better not offered than typed.
      if (plain(value) !== value) continue;
      context.print.raw(
        description === undefined ? `${value}\n` : `${value}\t${plain(description)}\n`,
      );
    }
  } catch {
    // A shell that completes must not show errors: nothing is offered.
  }
  return EXIT.done;
}

/** All that fits, sorted as given; the shell filters and shows. */
export async function candidates(
  words: readonly string[],
  context: CliContext,
  sources: (typed: Typed, context: CliContext) => Sources,
): Promise<Candidate[]> {
  const before = words.slice(0, -1);
  const current = words.at(-1) ?? "";
  // Behind -- it is another program's line.
  if (before.includes("--")) return [FILES];
  const line = readCommandLine(before).args;
  const program = buildProgram(new CommandHost(context));
  const { command, rest } = commandOf(program, line);
  const typed = readTyped(command, rest);
  const source = sources(typed, context);
  const starts = (list: readonly Candidate[]) =>
    list.filter((candidate) => candidate === FILES || candidate.value.startsWith(current));

  const glued = /^(--[\w-]+|-\w)=(.*)$/s.exec(current);
  if (glued) {
    const option = command.options.find(({ short, long }) =>
      short === glued[1] || long === glued[1]
    );
    const values = await valuesOf(command, option?.long ?? glued[1]!, source);
    if (values.includes(FILES)) return [FILES];
    return values.filter((candidate) => candidate.value.startsWith(glued[2]!))
      .map((candidate) => ({ ...candidate, value: `${glued[1]}=${candidate.value}` }));
  }
  if (typed.pending !== undefined) return starts(await valuesOf(command, typed.pending, source));
  if (current.startsWith("-")) return starts(optionsOf(command, typed));
  if (command.commands.length > 0) {
    const commands = command.commands.map((child) => ({
      value: child.name(),
      description: child.description(),
    }));
    return starts(commands);
  }
  return starts(await operandsOf(command, typed.operands, current, source, typed));
}

/** What of the line matters to completion. */
export interface Typed {
  readonly operands: readonly string[];
  /** Values by long option name. */
  readonly values: ReadonlyMap<string, string>;
  /** The option that waits for its value. */
  readonly pending: string | undefined;
  readonly flags: ReadonlySet<string>;
}

function commandOf(program: Command, line: readonly string[]) {
  let command = program;
  let at = 0;
  for (; at < line.length; at++) {
    const child = command.commands.find((candidate) =>
      candidate.name() === line[at] || candidate.aliases().includes(line[at]!)
    );
    if (child === undefined) break;
    command = child;
  }
  return { command, rest: line.slice(at) };
}

function readTyped(command: Command, words: readonly string[]): Typed {
  const operands: string[] = [];
  const values = new Map<string, string>();
  const flags = new Set<string>();
  let pending: string | undefined;
  for (const word of words) {
    if (pending !== undefined) {
      values.set(pending, word);
      pending = undefined;
      continue;
    }
    if (!word.startsWith("-") || word === "-") {
      operands.push(word);
      continue;
    }
    const [flag, value] = word.split(/=(.*)/s, 2) as [string, string | undefined];
    const option = command.options.find((option) => option.short === flag || option.long === flag);
    const name = option?.long ?? flag;
    flags.add(name);
    if (value !== undefined) values.set(name, value);
    else if (option?.required) pending = name;
  }
  return { operands, values, pending, flags };
}

function optionsOf(command: Command, typed: Typed): Candidate[] {
  return command.options
    .filter((option) => !option.hidden && option.long !== undefined)
    .filter((option) => !typed.flags.has(option.long!) || option.description.includes("repeatable"))
    .map((option) => ({ value: option.long!, description: option.description }));
}

async function valuesOf(command: Command, name: string, source: Sources): Promise<Candidate[]> {
  const option = command.options.find((option) => option.long === name);
  if (option?.argChoices) return option.argChoices.map((value) => ({ value }));
  switch (name) {
    case "--namespace":
    case "--additional":
      return await source.namespaces();
    case "--context":
      return await source.contexts();
    case "--exclude":
    case "--only":
      return await source.names("service");
    case "--session":
      return await source.sessions();
    case "--kubeconfig":
    case "--env-file":
    case "--prefix":
      return [FILES];
    case "--export":
      return [{ value: "true" }, { value: "false" }];
    default:
      return [];
  }
}

async function operandsOf(
  command: Command,
  operands: readonly string[],
  current: string,
  source: Sources,
  typed: Typed,
): Promise<Candidate[]> {
  switch (command.name()) {
    case "teleport":
    case "run":
    case "environment": {
      const file = command.name() === "environment" ? [FILES] : [];
      const slash = current.indexOf("/");
      if (operands.length === 0 && slash !== -1) {
        const kind = kindOf(current.slice(0, slash));
        if (kind === undefined) return [];
        return (await source.names(kind)).map((candidate) => ({
          ...candidate,
          value: `${current.slice(0, slash)}/${candidate.value}`,
        }));
      }
      if (operands.length === 0) return kindCandidates();
      const kind = kindOf(operands[0]!);
      if (operands.length === 1 && kind !== undefined) return await source.names(kind);
      return operands.length <= 2 ? file : [];
    }
    case "close":
      return operands.length === 0 && !typed.flags.has("--all") ? await source.sessions() : [];
    case "completions":
      return operands.length === 0 ? ["bash", "zsh", "fish"].map((value) => ({ value })) : [];
    default:
      return [];
  }
}

function kindCandidates(): Candidate[] {
  return Object.entries(KINDS).map(([kind, others]) => ({
    value: kind,
    description: `or ${others.join(", ")}`,
  }));
}
