/**
 * The ranges (third octets) of 127.1.0.0/16 that the hosts file already uses
 * outside this user's own block: another user's session, dead ones included,
 * another tool, or a line written by hand. Two would share addresses otherwise.
 */
export function foreignRanges(hosts: string, ownUid: number): Set<number> {
  const ranges = new Set<number>();
  let inOwnBlock = false;
  for (const line of hosts.split("\n")) {
    const marker = /^# czctl (begin|end) (\d+)\b/.exec(line);
    if (marker) inOwnBlock = marker[1] === "begin" && Number(marker[2]) === ownUid;
    if (inOwnBlock) continue;
    const address = /^\s*127\.1\.(\d{1,3})\.\d{1,3}\s/.exec(line);
    if (address) ranges.add(Number(address[1]));
  }
  return ranges;
}
