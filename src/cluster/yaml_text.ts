import {
  type Alias,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  type Node,
  type Pair,
  parseAllDocuments,
  Scalar,
  visit,
  type YAMLMap,
} from "yaml";

/** How many nodes aliases may repeat; a text with more means harm. */
const REPEATED_MAX = 100_000;

/**
 * The first document of a text, as kubectl (go-yaml 2) understands it: of a
 * key given twice the last counts, `<<` merges where it stands. `flags` are the
 * keys whose value may be a YAML 1.1 boolean (`yes`, `on`). Throws an Error
 * that says what is wrong, with the line where it has one.
 */
export function parseYaml(text: string, flags: ReadonlySet<string> = new Set()): unknown {
  const [document] = parseAllDocuments(text, {
    prettyErrors: false,
    schema: "core",
    uniqueKeys: false,
  });
  if (!document) return undefined;
  const broken = document.errors[0];
  if (broken) {
    const line = text.slice(0, broken.pos[0]).split("\n").length;
    throw new Error(`line ${line}: ${broken.message.replace(/\.$/, "")}`);
  }
  const targets = aliasTargets(document.contents);
  return new Reader(targets, flags).read(document.contents);
}

/** What each alias stands for: the last node before it with that anchor. */
function aliasTargets(contents: Node | null): Map<Alias, Node> {
  const anchors = new Map<string, Node>();
  const targets = new Map<Alias, Node>();
  visit(contents, {
    Node(_key, node) {
      if (isAlias(node)) {
        const target = anchors.get(node.source);
        if (!target) throw new Error(`the alias "*${node.source}" has no anchor`);
        targets.set(node, target);
      } else if (node.anchor) {
        anchors.set(node.anchor, node);
      }
    },
  });
  return targets;
}

class Reader {
  readonly #targets: ReadonlyMap<Alias, Node>;
  readonly #flags: ReadonlySet<string>;
  /** What the aliases being followed stand for. */
  readonly #following = new Set<Node>();
  #repeated = 0;

  constructor(targets: ReadonlyMap<Alias, Node>, flags: ReadonlySet<string>) {
    this.#targets = targets;
    this.#flags = flags;
  }

  read(node: unknown, flag = false): unknown {
    if (isAlias(node)) return this.#follow(node, (target) => this.read(target, flag));
    this.#count();
    if (isMap(node)) return Object.fromEntries(this.#entries(node));
    if (isSeq(node)) return node.items.map((item) => this.read(item));
    if (!isScalar(node)) return null;
    return flag && node.type === Scalar.PLAIN ? boolean(node.value) : node.value;
  }

  #entries(map: YAMLMap): Map<string, unknown> {
    const entries = new Map<string, unknown>();
    for (const pair of map.items) {
      if (isMerge(pair)) {
        for (const [key, value] of this.#merged(pair.value)) entries.set(key, value);
      } else {
        const key = this.read(pair.key);
        if (typeof key === "object") throw new Error("a key is not a text");
        entries.set(String(key), this.read(pair.value, this.#flags.has(String(key))));
      }
    }
    return entries;
  }

  /** The first of several mappings wins. */
  #merged(node: unknown, inList = false): Map<string, unknown> {
    if (isAlias(node)) return this.#follow(node, (target) => this.#merged(target, inList));
    this.#count();
    if (isMap(node)) return this.#entries(node);
    if (!isSeq(node) || inList) throw new Error('what "<<" merges is not a mapping');
    return new Map(node.items.toReversed().flatMap((item) => [...this.#merged(item, true)]));
  }

  #follow<T>(alias: Alias, read: (target: Node) => T): T {
    const target = this.#targets.get(alias)!;
    if (this.#following.has(target)) throw new Error(`"&${alias.source}" contains itself`);
    this.#following.add(target);
    try {
      return read(target);
    } finally {
      this.#following.delete(target);
    }
  }

  #count(): void {
    if (this.#following.size > 0 && ++this.#repeated > REPEATED_MAX) {
      throw new Error("its aliases repeat too much");
    }
  }
}

function isMerge({ key }: Pair): boolean {
  return isScalar(key) && key.value === "<<" && key.type === Scalar.PLAIN;
}

function boolean(value: unknown): unknown {
  if (typeof value !== "string") return value;
  if (/^(y|Y|yes|Yes|YES|on|On|ON)$/.test(value)) return true;
  return /^(n|N|no|No|NO|off|Off|OFF)$/.test(value) ? false : value;
}
