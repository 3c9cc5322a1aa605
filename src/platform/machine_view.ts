/**
 * What this process sees as its machine: the network, the folder of the hosts
 * file, and whether that file is mounted there by itself. Two that differ are in
 * different containers or namespaces; a HOME both have does not make one's names
 * and listeners the other's. Equal where the system does not tell.
 */
export function machineView(): string {
  return [networkNamespace(), placeOf("/etc"), isMountedApart("/etc/hosts", "/etc")].join(" ");
}

function networkNamespace(): string {
  try {
    return Deno.readLinkSync("/proc/self/ns/net");
  } catch {
    return "";
  }
}

/** The folder, not the file in it: each edit makes a new file. */
function placeOf(path: string): string {
  try {
    const { dev, ino } = Deno.statSync(path);
    return `${dev}:${ino}`;
  } catch {
    return "";
  }
}

/**
 * Not the device by its number: in an overlay that is another one once the file
 * has been edited (the kernel's filesystems/overlayfs, "Inode properties").
 */
function isMountedApart(path: string, folder: string): boolean {
  try {
    return Deno.statSync(path).dev !== Deno.statSync(folder).dev;
  } catch {
    return false;
  }
}
