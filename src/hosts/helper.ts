/** Runs the privileged helper on stdin and stdout; resolves with the exit code. */
export function runHelper(_args: readonly string[]): Promise<number> {
  throw new Error("The helper is not built yet");
}
