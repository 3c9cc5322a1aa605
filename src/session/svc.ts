/** Runs the background process; resolves with the exit code. */
export function runSvc(_args: string[]): Promise<number> {
  throw new Error("The background process is not built yet");
}
