/** Says what the demo does, in words a newcomer follows. */
export class Narrator {
  #steps = 0;
  readonly #color = Deno.stdout.isTerminal() && !Deno.env.get("NO_COLOR");

  title(text: string): void {
    this.#line(`\n${this.#paint("1", text)}`);
  }

  step(text: string): void {
    this.#line(`\n${this.#paint("1;36", `${++this.#steps}. ${text}`)}`);
  }

  fact(text: string): void {
    this.#line(`   ${text}`);
  }

  good(text: string): void {
    this.#line(`   ${this.#paint("32", text)}`);
  }

  command(command: readonly string[]): void {
    const shown = command.map((word) => {
      const short = word.endsWith("/dist/czctl")
        ? "czctl"
        : word.replace(/\s+/g, " ").replace(/^(.{60}).{20,}$/, "$1 ...");
      return /^[\w@%+=:,./?-]+$/.test(short) ? short : `'${short}'`;
    });
    this.#line(this.#paint("2", `   $ ${shown.join(" ")}`));
  }

  output(text: string): void {
    for (const line of text.trimEnd().split("\n")) {
      if (line !== "") this.#line(`     ${line}`);
    }
  }

  #paint(code: string, text: string): string {
    return this.#color ? `\x1b[${code}m${text}\x1b[0m` : text;
  }

  #line(text: string): void {
    Deno.stdout.writeSync(new TextEncoder().encode(`${text}\n`));
  }
}
