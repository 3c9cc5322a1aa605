import { InvalidArgumentError, Option } from "@commander-js/extra-typings";

/** Options that several commands share; a fresh one for each, as commander keeps state in them. */

export const outputOption = () =>
  new Option("-o, --output <format>", "how facts are printed").choices(["text", "json"] as const)
    .default("text" as const);

export const kubeconfigOption = () =>
  new Option(
    "-k, --kubeconfig <file>",
    "kubeconfig to use instead of KUBECONFIG or ~/.kube/config",
  ).argParser(nonEmpty);

export const contextOption = () =>
  new Option("--context <name>", "context of the kubeconfig instead of its current one")
    .argParser(nonEmpty);

export const namespaceOption = () =>
  new Option("-n, --namespace <ns>", "namespace of the workload (default: the context's)")
    .argParser(nonEmpty);

export const formatOption = () =>
  new Option(
    "-m, --format <format>",
    "format of the environment (default: by the file's extension)",
  )
    .choices(["sh", "env", "json", "yaml"] as const);

export const exportOption = () =>
  new Option(
    "--export <yes>",
    'sh format: write "export NAME=..." (default) or, with --export=false, "NAME=..."',
  )
    .argParser(yesOrNo);

export const containerOption = () =>
  new Option("-c, --container <name>", "container whose environment is meant (default: the first)")
    .argParser(nonEmpty);

/** A repeatable option with a list of values. */
export function repeated<Flags extends string>(flags: Flags, description: string) {
  return new Option(flags, `${description} (repeatable)`).argParser(
    (value: string, before: string[] | undefined) => [...(before ?? []), nonEmpty(value)],
  );
}

/** `10s`, `500ms`, `2m` or plain seconds, in ms. Throws commander's InvalidArgumentError. */
export function duration(value: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m)?$/.exec(value.trim());
  if (!match) throw new InvalidArgumentError('Give a time such as "10s", "500ms" or "2m".');
  const ms = Number(match[1]) * { ms: 1, s: 1000, m: 60_000 }[match[2] as "ms" | "s" | "m" ?? "s"];
  if (ms > 600_000) throw new InvalidArgumentError("At most 10 minutes.");
  return Math.round(ms);
}

/** A whole number of at least 0. Throws commander's InvalidArgumentError. */
export function wholeNumber(value: string): number {
  if (!/^\d{1,9}$/.test(value)) throw new InvalidArgumentError("Give a whole number.");
  return Number(value);
}

/** Throws commander's InvalidArgumentError for anything but yes and no in their usual forms. */
export function yesOrNo(value: string): boolean {
  if (/^(true|yes|1|on)$/i.test(value)) return true;
  if (/^(false|no|0|off)$/i.test(value)) return false;
  throw new InvalidArgumentError('Give "true" or "false".');
}

/** Throws commander's InvalidArgumentError. */
export function nonEmpty(value: string): string {
  if (value.trim() === "") throw new InvalidArgumentError("It must not be empty.");
  return value;
}

/** The object without its undefined properties, as `exactOptionalPropertyTypes` wants it. */
export function defined<T extends object>(
  value: T,
): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(
    Object.entries(value).filter(([, item]) => item !== undefined),
  ) as { [K in keyof T]?: Exclude<T[K], undefined> };
}
