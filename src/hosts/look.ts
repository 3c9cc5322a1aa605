import { messageOf } from "../model/errors.ts";
import { realFiles } from "../platform/files.ts";
import { currentUser } from "../platform/run_program.ts";
import { blockOf } from "./block.ts";
import { surroundingsOf } from "./names.ts";
import { MAX_HOSTS_BYTES, SYSTEM_PLACE } from "./place.ts";

/** What an ordinary user can see of the hosts file. */
export interface HostsLook {
  /** Whether there is a block of the current user, or what is left of one. */
  readonly ownBlock: boolean;
  /** Why the block cannot be edited, with line numbers; the mend is in `hint`. */
  readonly trouble?: { readonly message: string; readonly hint: string };
  /** Addresses in other users' blocks, with the user. */
  readonly otherAddresses: ReadonlyMap<string, number>;
}

/** The bytes of the hosts file. Throws the system's error. */
export async function readHosts(path: string = SYSTEM_PLACE.hosts): Promise<Uint8Array> {
  const file = await realFiles.open(path, "read");
  try {
    return await file.read(MAX_HOSTS_BYTES);
  } finally {
    await file.close();
  }
}

/** Looks at the hosts file; needs no rights. Throws the system's error when it cannot be read. */
export async function lookAtHosts(path: string = SYSTEM_PLACE.hosts): Promise<HostsLook> {
  const content = await readHosts(path);
  const { uid } = currentUser();
  const otherAddresses = surroundingsOf(content, uid).addresses;
  try {
    return { ownBlock: blockOf(content, uid) !== undefined, otherAddresses };
  } catch (error) {
    const hint = (error as { hint?: string }).hint ?? "";
    return { ownBlock: true, trouble: { message: messageOf(error), hint }, otherAddresses };
  }
}
