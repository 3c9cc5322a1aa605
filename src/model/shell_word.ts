/** One word for a POSIX shell. */
export function shellWord(text: string): string {
  // A leading "=" is a command's path in zsh, a leading "-" an option.
  if (/^[\w./:@%+,][\w./:@%+=,-]*$/.test(text)) return text;
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
