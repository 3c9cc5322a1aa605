import { join } from "node:path";
import type { HostsPlace } from "../../../src/hosts/place.ts";

/** A hosts file of its own in a temporary folder, gone at the end. */
export class Place implements AsyncDisposable {
  readonly place: HostsPlace;

  private constructor(readonly folder: string) {
    this.place = placeIn(folder);
  }

  static async create(content: string | Uint8Array, mode = 0o644): Promise<Place> {
    const made = new Place(await Deno.makeTempDir({ prefix: "czctl-hosts-" }));
    await Deno.mkdir(join(made.folder, "etc"));
    await made.write(content);
    await Deno.chmod(made.place.hosts, mode);
    return made;
  }

  async write(content: string | Uint8Array): Promise<void> {
    const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
    await Deno.writeFile(this.place.hosts, bytes);
  }

  bytes(): Promise<Uint8Array> {
    return Deno.readFile(this.place.hosts);
  }

  async text(): Promise<string> {
    return new TextDecoder("latin1").decode(await this.bytes());
  }

  /** Everything in the folder but the hosts file and the lock, which stays until `close`. */
  async leftovers(): Promise<string[]> {
    const found: string[] = [];
    for (const folder of ["etc", "lock", "journal"]) {
      try {
        for await (const { name } of Deno.readDir(join(this.folder, folder))) {
          if (name !== "hosts" && name !== "lock") found.push(`${folder}/${name}`);
        }
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      }
    }
    return found;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.folder, { recursive: true });
  }
}

export function placeIn(folder: string): HostsPlace {
  return {
    hosts: join(folder, "etc", "hosts"),
    temporary: join(folder, "etc", ".hosts.czctl"),
    lockFolders: [join(folder, "lock")],
    journalFolders: [join(folder, "journal")],
    owner: Deno.uid() ?? 0,
  };
}
