import { Argument, Command } from "@commander-js/extra-typings";
import type { CommandHost } from "../command_host.ts";

const AFTER = `
To have it in every new shell:
  bash  czctl completions bash > ~/.local/share/bash-completion/completions/czctl
  zsh   czctl completions zsh > "\${fpath[1]}/_czctl"
  fish  czctl completions fish > ~/.config/fish/completions/czctl.fish

Example:
  $ source <(czctl completions bash)`;

export function completionsCommand(host: CommandHost) {
  return new Command("completions")
    .description("print a completion script for a shell")
    .addArgument(new Argument("<shell>", "the shell").choices(["bash", "zsh", "fish"] as const))
    .addHelpText("after", AFTER)
    .action((shell) =>
      host.run({}, async () => {
        const { completionScript } = await import("./scripts.ts");
        host.context.print.raw(completionScript(shell));
      })
    );
}
