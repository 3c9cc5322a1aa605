import { CONTAINER_FILES, namesContainerFiles } from "./container_files.ts";

/**
 * Variables that a shell does not just store. Assigning one of these runs
 * code (bash evaluates `RANDOM='a[$(cmd)]'`, tried), fails (`UID`), or arms
 * something for later (`PROMPT_COMMAND`), so `source` would not be safe. Taken
 * from the manuals and from `declare -p` and `$parameters` of bash 5.2, zsh 5.9
 * and dash 0.5.12.
 */

/** Refused whatever their value: read-only, identity, or code and files of the shell itself. */
// deno-fmt-ignore
const NEVER = new Set([
  "BASH", "BASHOPTS", "BASHPID", "DIRSTACK", "EGID", "EPOCHREALTIME", "EPOCHSECONDS", "ERRNO", "EUID", "FUNCNAME", "GID", "GROUPS",
  "HISTCHARS", "HISTCMD", "HISTCONTROL", "HISTFILE", "HISTFILESIZE", "HISTIGNORE", "HISTSIZE",
  "HISTTIMEFORMAT", "IFS", "LINENO", "NULLCMD", "OPTARG", "PIPESTATUS", "PPID",
  "PROMPT_COMMAND", "RANDOM", "READNULLCMD", "SHELLOPTS", "SRANDOM", "STTY", "UID", "_", "histchars",
]);

/**
 * The shell keeps numbers in these and evaluates what it is given, at once or
 * when it needs the number (zsh runs `REPORTTIME='psvar[0$(cmd)]'` behind the
 * next command, tried): plain numbers only.
 */
// deno-fmt-ignore
const NUMBERS = new Set([
  "BAUD", "COLUMNS", "DIRSTACKSIZE", "FUNCNEST", "KEYTIMEOUT", "LINES",
  "LISTMAX", "LOGCHECK", "MAILCHECK", "MENUSCROLL", "OPTERR", "OPTIND", "PERIOD",
  "REPORTMEMORY", "REPORTTIME", "SAVEHIST", "SECONDS",
  "SHLVL", "TMOUT",
]);

/** The shell expands these later, in a prompt or at its next start: only text without expansions. */
// deno-fmt-ignore
const EXPANDED = new Set([
  "BASH_ENV", "ENV", "MAIL", "MAILPATH", "POSTEDIT", "PROMPT", "PROMPT2", "PROMPT3", "PROMPT4",
  "PROMPT_EOL_MARK",
  "PS0", "PS1", "PS2", "PS3", "PS4", "RPROMPT", "RPROMPT2", "RPS1", "RPS2", "SPROMPT", "prompt",
]);

/** zsh alone gives these a meaning: arrays tied to others, read-only ones, and whom it runs as. */
// deno-fmt-ignore
const ZSH_ONLY = new Set([
  "ARGC", "KEYBOARD_HACK", "PSVAR", "TRY_BLOCK_ERROR", "TRY_BLOCK_INTERRUPT", "TTYIDLE",
  "USERNAME", "WATCH", "aliases", "argv", "builtins", "cdpath", "commands", "dirstack",
  "dis_aliases", "dis_builtins", "dis_functions", "dis_functions_source", "dis_galiases",
  "dis_patchars", "dis_reswords", "dis_saliases", "epochtime", "errnos", "fignore", "fpath",
  "funcfiletrace", "funcsourcetrace", "funcstack", "functions", "functions_source", "functrace",
  "galiases", "history", "historywords", "jobdirs", "jobstates", "jobtexts", "keymaps",
  "langinfo", "mailpath", "manpath", "mapfile", "module_path", "modules", "nameddirs", "options",
  "parameters", "patchars", "path", "pipestatus", "psvar", "reswords", "saliases", "signals",
  "status", "sysparams", "termcap", "terminfo", "userdirs", "usergroups", "watch", "widgets",
  "zle_bracketed_paste", "zle_highlight", "zsh_eval_context", "zsh_scheduled_events",
]);

export type ShellVerdict =
  | { readonly ok: true; readonly zsh: boolean }
  | { readonly ok: false; readonly reason: string };

/** Whether a shell script may assign `value` to `name`; `zsh: false`: in the other shells only. */
export function shellVerdict(name: string, value: string): ShellVerdict {
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) {
    return { ok: false, reason: "a shell cannot have a variable of that name" };
  }
  if (NEVER.has(name) || /^(BASH|ZSH|ZLE|COMP)_/.test(name) && name !== "BASH_ENV") {
    return { ok: false, reason: "it belongs to the shell itself" };
  }
  if (namesContainerFiles(name, value)) return { ok: false, reason: CONTAINER_FILES };
  if (NUMBERS.has(name) && !/^(0|[1-9][0-9]{0,8})$/.test(value)) {
    return { ok: false, reason: "shells take numbers only for it and evaluate anything else" };
  }
  if (EXPANDED.has(name) && !/^[\w./:@, =+-]*$/.test(value)) {
    return { ok: false, reason: "shells expand it, and would run what its value holds" };
  }
  return { ok: true, zsh: !ZSH_ONLY.has(name) };
}
