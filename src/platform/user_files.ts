import { readFile } from "node:fs/promises";

/** What stands between czctl and a file the user named. */
export type FileProblem = "missing" | "denied" | "directory" | "unreadable";

/** Reads a text file of the user's, or says in a word why it cannot. */
export async function readUserFile(
  path: string,
): Promise<{ readonly text: string } | { readonly problem: FileProblem; readonly detail: string }> {
  try {
    return { text: await readFile(path, "utf8") };
  } catch (error) {
    const { code, message } = error as Error & { code?: string };
    switch (code) {
      case "ENOENT":
      case "ENOTDIR":
        return { problem: "missing", detail: "no such file" };
      case "EACCES":
      case "EPERM":
        return { problem: "denied", detail: "permission denied" };
      case "EISDIR":
        return { problem: "directory", detail: "it is a folder" };
      default:
        return { problem: "unreadable", detail: message };
    }
  }
}
