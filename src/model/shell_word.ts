/** One word for a POSIX shell, and for fish. */
export function shellWord(text: string): string {
  // A leading "=" is a command's path in zsh, a leading "-" an option.
  if (/^[\w./:@%+,][\w./:@%+=,-]*$/.test(text)) return text;
  return shellQuoted(text);
}

/**
 * Text in single quotes, in which nothing means anything to sh, bash, dash or
 * zsh. fish alone reads `\'` and `\\` in them as one character (its manual,
 * "Quotes"), and would take `'a\'` for open: a backslash before a quote, and
 * several in a row, stand outside. Runs are in double quotes because bash
 * takes minutes over a megabyte of `'\''`.
 */
export function shellQuoted(text: string): string {
  const inside = text.replaceAll(/'+|\\{2,}|\\(?='|$)/g, (run) => {
    if (run.length === 1) return `'\\${run}'`;
    return `'"${run.replaceAll("\\", "\\\\")}"'`;
  });
  return `'${inside}'`;
}
