import { Buffer } from "node:buffer";
import { resolve } from "node:path";
import { CzctlError } from "../../model/errors.ts";
import type { EnvFormat } from "../../model/control.ts";
import { formatOf } from "../../envfile/render.ts";
import type { CliContext } from "../context.ts";
import { controlClient, ifRunning } from "../control.ts";
import { parseWorkload } from "../kinds.ts";
import { defined } from "../options.ts";
import { addressesOf } from "../run/action.ts";
import { count } from "../text.ts";
import type { EnvironmentOptions } from "./command.ts";

/** `czctl environment KIND NAME [FILE]`. */
export async function environment(
  operands: readonly string[],
  options: EnvironmentOptions,
  context: CliContext,
): Promise<void> {
  const { print } = context;
  const { kind, name, rest } = parseWorkload(operands, "environment");
  if (rest.length > 1) {
    throw new CzctlError("usage", `Unexpected argument "${rest[1]}"`, {
      hint: "See czctl environment --help",
    });
  }
  if (kind === "namespace") {
    throw new CzctlError("usage", "A namespace has no environment", {
      hint: "Name a workload: czctl environment deployment NAME -n NAMESPACE",
    });
  }
  // As for many programs, that is standard output.
  const file = rest[0] === "-" ? undefined : rest[0];
  const { renderVariables, workloadEnvironment, writeEnvironmentFile } = await import(
    "../../session/environment.ts"
  );
  print.progress("Reading the environment");
  const found = await workloadEnvironment({
    kind,
    name,
    ...defined({
      namespace: options.namespace,
      kubeconfig: options.kubeconfig,
      context: options.context,
      container: options.container,
    }),
    cwd: context.cwd,
    env: context.env,
    // Where a session has this namespace's services, their variables lead to it.
    serviceAddress: addressesOf(
      await ifRunning(() => controlClient(context).sessions(context.signal)) ?? [],
    ),
    interactive: context.hasTerminal,
    signal: context.signal,
  });
  const format = formatFor(options.format, print.format === "json" && file === undefined, file);
  const rendered = renderVariables(
    found.variables,
    format,
    defined({ exportVariables: options.export }),
  );
  for (const note of [...found.notes, ...rendered.notes]) print.note(note);
  for (const left of rendered.leftOut) print.note(`${left.name} is left out: ${left.reason}`);
  if (file === undefined) {
    print.finish();
    return print.raw(Buffer.from(rendered.bytes).toString("utf8"));
  }
  const path = resolve(context.cwd, file);
  await writeEnvironmentFile(path, rendered.bytes, { force: options.force === true });
  if (print.format === "json") {
    return print.json({ file: path, format, variables: rendered.variables });
  }
  print.step(file, `${count(rendered.variables, "variable")} of ${kind}/${name}`);
}

/** `-m`, else by the file's extension; `-o json` means JSON on standard output. */
export function formatFor(
  chosen: EnvFormat | undefined,
  json: boolean,
  file: string | undefined,
): EnvFormat {
  return chosen ?? (json ? "json" : formatOf(file ?? ""));
}
