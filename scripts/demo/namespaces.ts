/** Argument with which the demo runs itself again inside. */
export const INSIDE = "--inside";

/**
 * Runs the demo again as root of a user namespace, with a mount namespace of
 * its own (so /etc/hosts is a private copy) and a network of its own (so low
 * ports are free). Resolves with its exit code, or undefined where the system
 * does not allow that.
 */
export async function enterOwnNamespaces(script: string): Promise<number | undefined> {
  const enter = [
    "--user",
    "--map-root-user",
    "--mount",
    "--net",
    "--pid",
    "--fork",
    "--mount-proc",
    "--kill-child",
  ];
  const prepare = [
    "ip link set lo up",
    "etc=$(mktemp -d)",
    "trap 'umount -l /etc; rm -rf \"$etc\"' EXIT",
    'cp -a /etc/. "$etc" 2>/dev/null || true',
    'mount --bind "$etc" /etc',
    "mount -t tmpfs none /run",
  ].join("\n");
  const tries = await new Deno.Command("unshare", {
    args: [...enter, "sh", "-c", `set -e\n${prepare}`],
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).output().catch(() => undefined);
  if (!tries?.success) return undefined;
  const said =
    "So the demo goes on in namespaces of its own: a private /etc and a private network.\n";
  Deno.stdout.writeSync(new TextEncoder().encode(`   ${said}`));
  const child = new Deno.Command("unshare", {
    args: [
      ...enter,
      "sh",
      "-c",
      `set -e\n${prepare}\n"$0" run -A "$1" ${INSIDE}`,
      Deno.execPath(),
      script,
    ],
  }).spawn();
  return (await child.status).code;
}
