/** The real kubectl: the one on the PATH, or Debian's (1.20, plain SPDY only). */
import { join } from "node:path";

const CACHE = join(import.meta.dirname!, "..", "..", "dist", "kubectl-debian");

export interface Kubectl {
  readonly path: string;
  /** "1.32" */
  readonly version: string;
}

async function run(command: string, args: string[], cwd?: string): Promise<string> {
  const output = await new Deno.Command(command, {
    args,
    ...(cwd ? { cwd } : {}),
    stdin: "null",
  }).output();
  const text = new TextDecoder();
  if (!output.success) {
    throw new Error(`${command} ${args.join(" ")}: ${text.decode(output.stderr).trim()}`);
  }
  return text.decode(output.stdout);
}

async function describe(path: string): Promise<Kubectl> {
  const { clientVersion } = JSON.parse(await run(path, ["version", "--client", "-o", "json"]));
  return { path, version: `${clientVersion.major}.${clientVersion.minor.replace(/\D.*$/, "")}` };
}

/** Debian's kubernetes-client, unpacked into a cache folder; needs no root. */
export async function debianKubectl(): Promise<Kubectl> {
  const path = join(CACHE, "usr", "bin", "kubectl");
  try {
    return await describe(path);
  } catch {
    // Not there yet.
  }
  const folder = await Deno.makeTempDir({ prefix: "kubectl-" });
  try {
    // Only root may refresh the package lists; without it the lists there are must do.
    await run("apt-get", ["update", "-qq"]).catch(() => {});
    await run("apt-get", ["download", "-qq", "kubernetes-client"], folder);
    const [entry] = [...Deno.readDirSync(folder)].filter((one) => one.name.endsWith(".deb"));
    const unpacked = join(folder, "unpacked");
    await run("dpkg-deb", ["-x", entry!.name, unpacked], folder);
    await Deno.mkdir(join(CACHE, ".."), { recursive: true });
    await run("cp", ["-rT", unpacked, CACHE]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
  return await describe(path);
}

/** The kubectl on the PATH, else Debian's. Throws when neither can be had. */
export async function ensureKubectl(): Promise<Kubectl> {
  try {
    return await describe("kubectl");
  } catch {
    return await debianKubectl();
  }
}

/** Both, without repeats: what a test should pass with. */
export async function everyKubectl(): Promise<Kubectl[]> {
  const first = await ensureKubectl();
  const debian = await debianKubectl().catch(() => first);
  return debian.version === first.version ? [first] : [first, debian];
}
