import type { NamespaceState } from "../model/control.ts";
import type { ApiClient } from "./api_client.ts";
import { ApiError } from "./api_errors.ts";

/** How long the question may take, in ms: somebody waits for a list that is better for it. */
const ASK_MS = 2_000;

/** Whether a namespace is there. Undefined where nobody can tell: no right to look, no answer. */
export async function namespaceState(
  api: ApiClient,
  name: string,
): Promise<NamespaceState | undefined> {
  try {
    const limits = { deadlineMs: ASK_MS, dialDeadlineMs: ASK_MS };
    const { metadata } = await api.get("namespaces", undefined, name, limits);
    return metadata?.deletionTimestamp ? "ending" : "there";
  } catch (error) {
    return error instanceof ApiError && error.status === 404 ? "gone" : undefined;
  }
}
