/** Something whoever builds czctl can mend: shown as one message, without a stack. */
export class BuildError extends Error {
  override readonly name = "BuildError";
}

/** Runs a script's main function; a BuildError ends it with one message, a bug with its stack. */
export async function runScript(main: () => Promise<number | void>): Promise<never> {
  try {
    Deno.exit((await main()) ?? 0);
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    await Deno.stderr.write(new TextEncoder().encode(`error: ${error.message}\n`));
    Deno.exit(1);
  }
}
