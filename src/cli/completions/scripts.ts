/**
 * The completion scripts. They hold no list of anything: each asks
 * `czctl __complete WORD...`, whose answer is one candidate a line, with a tab
 * and a description behind it; `:files` stands for file names.
 */
const BASH = `# bash completion for czctl
_czctl() {
  local at line value word rest="$COMP_LINE" cur="" piece prefix
  local -a words=()
  # bash splits at "=", ":" and "@", too (COMP_WORDBREAKS), czctl does not: what has no blank
  # between is one word.
  for ((at = 0; at <= COMP_CWORD; at++)); do
    word="\${COMP_WORDS[at]}"
    if ((at > 0)) && [[ -n "$cur" && "$rest" != [[:blank:]]* ]]; then
      cur+="$word"
      words[\${#words[@]}-1]="$cur"
    else
      cur="$word"
      words+=("$cur")
    fi
    rest="\${rest#"\${rest%%[![:blank:]]*}"}"
    rest="\${rest#"$word"}"
  done
  # Only the last piece is replaced by what is offered, nothing of a lone "=", but an "@" is
  # (rl_special_prefixes).
  piece="$word"
  [[ "$piece" == *[!=:@]* ]] || piece=""
  prefix="\${cur%"$piece"}"
  prefix="\${prefix%@}"
  COMPREPLY=()
  while IFS= read -r line; do
    value="\${line%%$'\\t'*}"
    if [[ "$value" == ":files" ]]; then
      compopt -o filenames 2>/dev/null
      while IFS= read -r value; do COMPREPLY+=("$value"); done < <(compgen -f -- "$piece")
    elif [[ "$value" == "$cur"* ]]; then
      # Names from a cluster are data: quoted, they cannot become commands.
      COMPREPLY+=("$(printf '%q' "\${value#"$prefix"}")")
    fi
  done < <(czctl __complete "\${words[@]:1}" 2>/dev/null)
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
      [[ "$PREFIX" == -*=* ]] && compset -P '*='
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
            set -l option (string match -r -- '^-[^=]*=' "$current")
            for path in (__fish_complete_path (string replace -r -- '^-[^=]*=' '' "$current"))
                echo "$option$path"
            end
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
