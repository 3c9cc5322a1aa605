/**
 * What this process sees as its machine: the network, the folder of the hosts
 * file and its file system. Two that differ are in different containers or
 * namespaces; a HOME both have does not make one's names and listeners the
 * other's. Equal where the system does not tell.
 */
export function machineView(): string {
  return [networkNamespace(), placeOf("/etc"), deviceOf("/etc/hosts")].join(" ");
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

function deviceOf(path: string): string {
  try {
    return `${Deno.statSync(path).dev}`;
  } catch {
    return "";
  }
}
