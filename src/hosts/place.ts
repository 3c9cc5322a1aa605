/** Where the hosts file and what belongs to editing it are. Never taken from a request or the environment. */
export interface HostsPlace {
  readonly hosts: string;
  /** The new content before its rename; in the same folder, so that the rename is one step. */
  readonly temporary: string;
  /** The first of these that can be made holds the lock. */
  readonly lockFolders: readonly string[];
  /**
   * The first of these that can be written holds the journal. The first one is
   * on disk rather than in memory: a journal that a power cut takes away is none.
   */
  readonly journalFolders: readonly string[];
  /** Who must own those folders. */
  readonly owner: number;
}

/** The real one. */
export const SYSTEM_PLACE: HostsPlace = {
  hosts: "/etc/hosts",
  temporary: "/etc/.hosts.czctl",
  lockFolders: ["/run/czctl", "/var/run/czctl", "/var/lib/czctl"],
  journalFolders: ["/var/lib/czctl", "/run/czctl", "/var/run/czctl"],
  owner: 0,
};

/** There when SELinux is on: a renamed file would carry another label (stat is allowed everywhere). */
export const SELINUX_FOLDER = "/sys/fs/selinux";

/** A hosts file above this size is left alone, in bytes. */
export const MAX_HOSTS_BYTES = 32 * 1024 * 1024;
