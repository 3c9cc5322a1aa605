import { shellWord } from "../model/shell_word.ts";
import type { Kubeconfig, KubeconfigPlace } from "./kubeconfig.ts";

/**
 * How a kubectl command begins that is to ask the same cluster: `kubectl`, with
 * the file of `--kubeconfig` and with the context, unless it is the current
 * one. KUBECONFIG needs no mention: the shell that has it runs the command.
 */
export function kubectlFor(
  config: Kubeconfig,
  context: string | undefined,
  place: KubeconfigPlace,
): string {
  const [file] = config.files;
  const words = ["kubectl"];
  if (place.explicit !== undefined && file !== undefined) {
    words.push("--kubeconfig", shellWord(file));
  }
  if (context !== undefined && context !== config.currentContext) {
    words.push("--context", shellWord(context));
  }
  return words.join(" ");
}
