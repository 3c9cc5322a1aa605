import assert from "node:assert/strict";
import fc from "fast-check";
import { Buffer } from "node:buffer";
import { curlCommand } from "../../src/inspector/curl.ts";
import { shellWord } from "../../src/model/shell_word.ts";
import type { BodyJson, HeaderJson } from "../../src/inspector/request_json.ts";
import { MASK } from "../../src/inspector/secrets.ts";
import { withFolder } from "../temp_folder.ts";

const NO_BODY: BodyJson = { size: 0, kept: 0, truncated: false, complete: true };

function textBody(text: string): BodyJson {
  const size = new TextEncoder().encode(text).length;
  return { size, kept: size, truncated: false, complete: true, text };
}

function command(more: Partial<Parameters<typeof curlCommand>[0]>) {
  return curlCommand({
    method: "GET",
    origin: "http://web.shop",
    target: "/",
    headers: [],
    body: NO_BODY,
    ...more,
  });
}

/**
 * Runs a command in a shell in which curl is a function that shows what it was
 * called with, and in which nothing else that matters could be called unseen.
 */
async function run(shell: string, text: string, folder: string) {
  const script = 'curl() { printf "%s\\0" "$@"; printf "\\0"; [ -t 0 ] || cat; }\n' + text;
  const done = await new Deno.Command(shell, {
    args: ["-c", script],
    cwd: folder,
    clearEnv: true,
    env: {
      PATH: "/usr/bin:/bin",
      HEADER_AUTHORIZATION: "Bearer x",
      SECRET: "s3",
      LC_ALL: "C.UTF-8",
    },
    stdin: "null",
  }).output();
  assert.equal(new TextDecoder().decode(done.stderr), "", text);
  assert.ok(done.success);
  const out = Buffer.from(done.stdout).toString("utf8");
  const end = out.indexOf("\0\0");
  return { words: out.slice(0, end).split("\0"), stdin: done.stdout.subarray(end + 2) };
}

async function shells(): Promise<string[]> {
  const found: string[] = [];
  for (const shell of ["/bin/sh", "/bin/bash", "/usr/bin/zsh"]) {
    if (await Deno.stat(shell).then(() => true, () => false)) found.push(shell);
  }
  return found;
}

Deno.test("curlCommand() says what the request said, plainly", () => {
  const headers: HeaderJson[] = [
    { name: "Host", value: "web.shop" },
    { name: "Accept-Encoding", value: "gzip, br" },
    { name: "Content-Type", value: "application/json" },
    { name: "Content-Length", value: "9" },
    { name: "X-Empty", value: "" },
  ];
  assert.deepEqual(
    command({ method: "PUT", target: "/a?b=[1]&c={2}", headers, body: textBody(`{"a":"b"}`) }),
    {
      command: "curl --globoff --path-as-is -X PUT 'http://web.shop/a?b=[1]&c={2}' --compressed " +
        `-H 'Content-Type: application/json' -H 'X-Empty;' --data-raw '{"a":"b"}'`,
      notes: [],
    },
  );
});

Deno.test("curlCommand() leaves masked values to variables of their own", () => {
  const { command: text, notes } = command({
    target: `/a?token=${MASK}&b=1`,
    headers: [{ name: "Authorization", value: MASK, masked: true }],
  });
  assert.equal(
    text,
    `curl --globoff --path-as-is 'http://web.shop/a?token='"$SECRET"'&b=1' ` +
      `-H 'Authorization: '"$HEADER_AUTHORIZATION"`,
  );
  assert.deepEqual(notes, ["masked values are left out"]);
});

Deno.test("curlCommand() never puts a control character into the paste buffer", () => {
  const nasty = fc.string({ unit: "binary", maxLength: 30 });
  fc.assert(
    fc.property(nasty, nasty, nasty, (target, value, body) => {
      const { command: text } = command({
        method: "POST",
        target: `/${target}`,
        headers: [{ name: "x-a", value }],
        body: textBody(body),
      });
      assert.doesNotMatch(text.replace(/[\n\t]/g, ""), /[\p{Cc}\p{Cf}]/u);
      assert.ok(!text.replace(/--data-raw [^]*$/, "").includes("\n"));
    }),
  );
});

Deno.test("curlCommand() is read by real shells as the words that were meant, whatever they hold", async () => {
  // A word beginning with "@" or "-" would name a file or an option to curl.
  const special = fc.constantFrom(
    "'",
    '"',
    "\\",
    "$(touch x)",
    "`touch x`",
    "!!",
    "\n",
    " -o x",
    "@/etc/passwd",
    "*",
    "~",
    "#",
    ";",
    "&",
    "é",
    "\t",
    "%s",
  );
  const text = fc.array(fc.oneof(special, fc.string({ maxLength: 4 })), { maxLength: 6 })
    .map((parts) => parts.join(""));
  await withFolder(async (folder) => {
    for (const shell of await shells()) {
      await fc.assert(
        fc.asyncProperty(
          text.map((text) => text.replace(/[^!-~]/g, "")),
          text.map((text) => text.replace(/[^ -~]/g, "").trim()),
          text,
          fc.stringMatching(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,8}$/),
          async (path, value, body, name) => {
            const { command: line } = command({
              method: name.toUpperCase(),
              target: `/${path}`,
              headers: [{ name, value: value || "v" }, { name: "Content-Type", value: "a/b" }, {
                name: "Authorization",
                value: MASK,
                masked: true,
              }],
              body: textBody(body),
            });
            const { words, stdin } = await run(shell, line, folder);
            assert.ok(words.includes(`http://web.shop/${path}`), line);
            assert.ok(words.includes("Authorization: Bearer x"));
            const left = ["accept-encoding", "connection", "expect", "host"];
            if (!left.includes(name.toLowerCase())) {
              assert.ok(words.includes(`${name}: ${value || "v"}`), line);
            }
            if (body === "") return;
            const raw = words.indexOf("--data-raw");
            const sent = raw === -1 ? new TextDecoder().decode(stdin) : words[raw + 1];
            assert.equal(sent, body);
          },
        ),
        { numRuns: 40 },
      );
    }
    const left = [];
    for await (const entry of Deno.readDir(folder)) left.push(entry.name);
    assert.deepEqual(left, [], "nothing was run");
  });
});

Deno.test("curlCommand() sends bytes that are no text, and forms without a type, as they were", async () => {
  await withFolder(async (folder) => {
    const bytes = new Uint8Array([0, 1, 255, 27, 91, 10]);
    const base64 = Buffer.from(bytes).toString("base64");
    const { command: line } = command({
      method: "POST",
      body: { size: 6, kept: 6, truncated: false, complete: true, base64 },
    });
    const { words, stdin } = await run("/bin/sh", line, folder);
    assert.deepEqual(new Uint8Array(stdin), bytes);
    assert.ok(words.includes("Content-Type:"));
  });
});

Deno.test("shellWord() quotes what zsh would take for a command's path", () => {
  assert.equal(shellWord("=+"), "'=+'");
  assert.equal(shellWord("a=b"), "a=b");
});

Deno.test("shellWord() leaves no string open in fish, where a backslash counts before a quote", () => {
  assert.equal(shellWord("a b\\"), `'a b'\\\\''`);
  assert.equal(shellWord("\\'; touch x"), `''\\\\''\\''; touch x'`);
  assert.equal(shellWord("C:\\a \\\\b"), `'C:\\a '"\\\\\\\\"'b'`);
});
