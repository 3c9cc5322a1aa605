/** A small RESP server: enough of Redis for a real client to work with strings, hashes and lists. */
import { Buffer } from "node:buffer";
import type { Socket } from "node:net";

type Reply = string | number | null | Buffer | Error | Reply[] | { simple: string };
interface Entry {
  value: string | Map<string, string> | string[];
  expires?: number;
}

export class RedisStore {
  #entries = new Map<string, Entry>();

  #live(key: string): Entry | undefined {
    const entry = this.#entries.get(key);
    if (entry?.expires !== undefined && entry.expires <= Date.now()) {
      this.#entries.delete(key);
      return undefined;
    }
    return entry;
  }

  #text(key: string): string | null {
    const value = this.#live(key)?.value;
    return typeof value === "string" ? value : null;
  }

  #hash(key: string): Map<string, string> {
    const value = this.#live(key)?.value;
    if (value instanceof Map) return value;
    const made = new Map<string, string>();
    this.#entries.set(key, { value: made });
    return made;
  }

  #list(key: string): string[] {
    const value = this.#live(key)?.value;
    if (Array.isArray(value)) return value;
    const made: string[] = [];
    this.#entries.set(key, { value: made });
    return made;
  }

  run(command: string[]): Reply {
    const [name = "", key = "", ...rest] = command;
    switch (name.toUpperCase()) {
      case "PING":
        return command.length > 1 ? key : { simple: "PONG" };
      case "ECHO":
        return key;
      case "SET": {
        const options = rest.slice(1).map((word) => word.toUpperCase());
        const exists = this.#live(key) !== undefined;
        if ((options.includes("NX") && exists) || (options.includes("XX") && !exists)) return null;
        const entry: Entry = { value: rest[0] ?? "" };
        const seconds = options.indexOf("EX"), ms = options.indexOf("PX");
        if (seconds >= 0) entry.expires = Date.now() + Number(options[seconds + 1]) * 1000;
        if (ms >= 0) entry.expires = Date.now() + Number(options[ms + 1]);
        this.#entries.set(key, entry);
        return { simple: "OK" };
      }
      case "GET":
        return this.#text(key);
      case "MGET":
        return command.slice(1).map((one) => this.#text(one));
      case "DEL":
      case "UNLINK":
        return command.slice(1).filter((one) => this.#entries.delete(one)).length;
      case "EXISTS":
        return command.slice(1).filter((one) => this.#live(one)).length;
      case "INCR":
        return this.#add(key, 1);
      case "DECR":
        return this.#add(key, -1);
      case "INCRBY":
        return this.#add(key, Number(rest[0]));
      case "APPEND": {
        const text = (this.#text(key) ?? "") + (rest[0] ?? "");
        this.#entries.set(key, { value: text });
        return text.length;
      }
      case "STRLEN":
        return (this.#text(key) ?? "").length;
      case "KEYS": {
        const pattern = key.replace(/[.+^${}()|\\]/g, "\\$&").replace(/\*/g, ".*").replace(
          /\?/g,
          ".",
        );
        const regular = new RegExp(`^${pattern}$`);
        return [...this.#entries.keys()].filter((one) => regular.test(one) && this.#live(one));
      }
      case "EXPIRE": {
        const entry = this.#live(key);
        if (entry) entry.expires = Date.now() + Number(rest[0]) * 1000;
        return entry ? 1 : 0;
      }
      case "TTL": {
        const entry = this.#live(key);
        if (!entry) return -2;
        return entry.expires === undefined ? -1 : Math.ceil((entry.expires - Date.now()) / 1000);
      }
      case "TYPE": {
        const value = this.#live(key)?.value;
        return {
          simple: value === undefined
            ? "none"
            : typeof value === "string"
            ? "string"
            : Array.isArray(value)
            ? "list"
            : "hash",
        };
      }
      case "HSET": {
        const hash = this.#hash(key);
        const before = hash.size;
        for (let i = 0; i + 1 < rest.length; i += 2) hash.set(rest[i]!, rest[i + 1]!);
        return hash.size - before;
      }
      case "HGET":
        return this.#hash(key).get(rest[0] ?? "") ?? null;
      case "HGETALL":
        return [...this.#hash(key)].flat();
      case "RPUSH":
        return this.#list(key).push(...rest);
      case "LPUSH":
        return this.#list(key).unshift(...rest.reverse());
      case "LRANGE": {
        const end = Number(rest[1]);
        return this.#list(key).slice(Number(rest[0]), end < 0 ? undefined : end + 1);
      }
      case "DBSIZE":
        return this.#entries.size;
      case "FLUSHALL":
      case "FLUSHDB":
        this.#entries.clear();
        return { simple: "OK" };
      case "SELECT":
      case "AUTH":
      case "CLIENT":
      case "READONLY":
        return { simple: "OK" };
      case "COMMAND":
        return [];
      case "INFO":
        return "# Server\r\nredis_version:7.2.0\r\nredis_mode:standalone\r\nloading:0\r\n";
      default:
        // Also HELLO: clients fall back to RESP2, as with servers before 6.
        return new Error(`ERR unknown command '${name}', with args beginning with: `);
    }
  }

  #add(key: string, by: number): Reply {
    const number = Number(this.#text(key) ?? "0") + by;
    if (!Number.isInteger(number)) return new Error("ERR value is not an integer or out of range");
    const entry = this.#live(key);
    this.#entries.set(key, { ...entry, value: String(number) });
    return number;
  }
}

function encode(reply: Reply): string {
  if (reply === null) return "$-1\r\n";
  if (typeof reply === "number") return `:${reply}\r\n`;
  if (typeof reply === "string") return `$${Buffer.byteLength(reply)}\r\n${reply}\r\n`;
  if (reply instanceof Error) return `-${reply.message}\r\n`;
  if (Array.isArray(reply)) return `*${reply.length}\r\n${reply.map(encode).join("")}`;
  if (Buffer.isBuffer(reply)) return encode(reply.toString());
  return `+${reply.simple}\r\n`;
}

/** One whole command from the front of `bytes`, and how long it is; undefined: not all there yet. */
function parse(bytes: Buffer): { command: string[]; length: number } | undefined {
  const line = (from: number): [string, number] | undefined => {
    const end = bytes.indexOf("\r\n", from);
    return end < 0 ? undefined : [bytes.toString("utf8", from, end), end + 2];
  };
  const first = line(0);
  if (!first) return undefined;
  if (!first[0].startsWith("*")) {
    return { command: first[0].split(/\s+/).filter((word) => word !== ""), length: first[1] };
  }
  const command: string[] = [];
  let at = first[1];
  for (let i = 0; i < Number(first[0].slice(1)); i++) {
    const head = line(at);
    if (!head) return undefined;
    const length = Number(head[0].slice(1));
    if (bytes.length < head[1] + length + 2) return undefined;
    command.push(bytes.toString("utf8", head[1], head[1] + length));
    at = head[1] + length + 2;
  }
  return { command, length: at };
}

export function serveRedis(socket: Socket, store: RedisStore): void {
  let rest: Buffer = Buffer.alloc(0);
  socket.on("data", (chunk: Buffer) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let answer = "";
    for (let next = parse(rest); next; next = parse(rest)) {
      rest = rest.subarray(next.length);
      if (next.command.length === 0) continue;
      if (next.command[0]!.toUpperCase() === "QUIT") {
        socket.end(`${answer}+OK\r\n`);
        return;
      }
      answer += encode(store.run(next.command));
    }
    if (answer !== "") socket.write(answer);
  });
  socket.on("end", () => socket.end());
}
