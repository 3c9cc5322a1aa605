import { join } from "node:path";
import { namesIn, readIfPresent, removeIfPresent, writeAtomic } from "../platform/private_files.ts";
import type { EnvFileRecord } from "../envfile/file.ts";
import type { WorkloadRef } from "../model/control.ts";

/** What must be known to clean up after a session whose svc is gone. */
export interface SessionRecord {
  readonly version: 1;
  readonly id: string;
  /** pid of the svc that opened it, for people who look; the lock says whether it lives. */
  readonly pid: number;
  readonly createdAt: string;
  readonly workload: WorkloadRef;
  readonly context: string;
  /** What the env file room needs to remove its file if it is still what was written. */
  readonly envFile?: EnvFileRecord;
}

/** The records of open sessions, one file each in `state/sessions/`. */
export class SessionStore {
  constructor(
    private readonly folder: string,
    /** The writing process, for people who look. */
    readonly pid: number = 0,
  ) {}

  async write(record: SessionRecord): Promise<void> {
    await writeAtomic(this.#path(record.id), JSON.stringify(record, null, 2) + "\n");
  }

  async remove(id: string): Promise<void> {
    await removeIfPresent(this.#path(id));
  }

  /** A record that cannot be read is given as its id alone: it still has to be cleaned away. */
  async list(): Promise<{ id: string; record: SessionRecord | undefined }[]> {
    const found = [];
    for (const name of await namesIn(this.folder)) {
      if (!name.endsWith(".json")) {
        if (name.endsWith(".tmp")) await removeIfPresent(join(this.folder, name));
        continue;
      }
      const id = name.slice(0, -".json".length);
      // Whatever lies there must keep neither svc nor doctor from their work.
      const text = await readIfPresent(join(this.folder, name)).catch(() => undefined);
      found.push({ id, record: parseRecord(text) });
    }
    return found;
  }

  #path(id: string): string {
    return join(this.folder, `${id}.json`);
  }
}

function parseRecord(text: string | undefined): SessionRecord | undefined {
  try {
    const record = JSON.parse(text ?? "") as SessionRecord;
    return record.version === 1 && typeof record.id === "string" ? record : undefined;
  } catch {
    return undefined;
  }
}
