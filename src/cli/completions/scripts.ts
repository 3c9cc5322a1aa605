/**
 * The completion scripts. They hold no list of anything: each asks
 * `czctl __complete WORD...`, whose answer is one candidate a line, with a tab
 * and a description behind it; `:files` stands for file names.
 */
const BASH = `# bash completion for czctl
_czctl() {
  local cur line value
  # Read the words ourselves: bash splits at "=" and ":", czctl does not.
  local -a words=("\${COMP_WORDS[@]:1:COMP_CWORD}")
  cur="\${COMP_WORDS[COMP_CWORD]}"
  COMPREPLY=()
  while IFS= read -r line; do
    value="\${line%%$'\\t'*}"
    if [[ "$value" == ":files" ]]; then
      compopt -o filenames 2>/dev/null
      while IFS= read -r value; do COMPREPLY+=("$value"); done < <(compgen -f -- "$cur")
    elif [[ "$value" == "$cur"* ]]; then
      # Names from a cluster are data: quoted, they cannot become commands.
      COMPREPLY+=("$(printf '%q' "$value")")
    fi
  done < <(czctl __complete "\${words[@]}" 2>/dev/null)
}
complete -o nosort -F _czctl czctl 2>/dev/null || complete -F _czctl czctl
`;

const ZSH = `#compdef czctl
# zsh completion for czctl
_czctl() {
  local line value
  local -a candidates
  for line in "\${(@f)$(czctl __complete "\${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
    value="\${line%%$'\\t'*}"
    if [[ "$value" == ":files" ]]; then
      _files
    elif [[ -n "$value" && "$line" == *$'\\t'* ]]; then
      candidates+=("\${value//:/\\\\:}:\${line#*$'\\t'}")
    elif [[ -n "$value" ]]; then
      candidates+=("\${value//:/\\\\:}")
    fi
  done
  (( \${#candidates} )) && _describe -V 'czctl' candidates
}
if [[ "\${funcstack[1]}" == "_czctl" ]]; then
  _czctl "$@"
else
  compdef _czctl czctl
fi
`;

const FISH = `# fish completion for czctl
function __czctl_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    for line in (czctl __complete $words[2..-1] "$current" 2>/dev/null)
        if string match -q -- ':files*' $line
            __fish_complete_path "$current"
        else
            echo $line
        end
    end
end
complete -c czctl -f -a '(__czctl_complete)'
`;

/** The script for one shell. */
export function completionScript(shell: "bash" | "zsh" | "fish"): string {
  return { bash: BASH, zsh: ZSH, fish: FISH }[shell];
}
