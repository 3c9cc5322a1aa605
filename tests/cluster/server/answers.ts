/** Answers written straight to a socket that asked for an upgrade and does not get it. */
import { Buffer } from "node:buffer";
import type { IncomingHttpHeaders } from "node:http";
import type { Socket } from "node:net";
import { PEER_HEADER } from "./auth.ts";

/** Headers that belong to one hop only. */
export const HOP = new Set([
  "connection",
  "upgrade",
  "keep-alive",
  "transfer-encoding",
  PEER_HEADER,
]);

export function answer(
  socket: Socket,
  status: number,
  headers: IncomingHttpHeaders,
  body: string | Buffer,
): void {
  const lines = [`HTTP/1.1 ${status} ${REASONS[status] ?? "Status"}`];
  for (const [name, value] of Object.entries(headers)) {
    if (HOP.has(name) || name === "content-length" || value === undefined) continue;
    for (const one of [value].flat()) lines.push(`${name}: ${one}`);
  }
  lines.push(`content-length: ${Buffer.byteLength(body)}`, "connection: close", "", "");
  socket.end(Buffer.concat([Buffer.from(lines.join("\r\n")), Buffer.from(body)]));
}

const REASONS: Record<number, string> = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  500: "Internal Server Error",
};
