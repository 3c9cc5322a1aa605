import assert from "node:assert/strict";
import { Printer } from "../../src/cli/printer.ts";
import { report } from "../../src/cli/report.ts";
import { BrokenPipe } from "../../src/cli/terminal.ts";
import { CzctlError } from "../../src/model/errors.ts";
import { FakeTerminal } from "./fakes.ts";

Deno.test("Printer in a pipe: plain ASCII lines, facts on standard output alone", () => {
  const terminal = new FakeTerminal();
  const print = new Printer(terminal);
  print.progress("Looking for services");
  print.progress("Looking for services");
  print.step("6 services of shop, 9 ports", "127.1.31.1 – 127.1.31.6");
  print.note("one port is in use");
  assert.equal(
    terminal.out,
    "  ok 6 services of shop, 9 ports                      127.1.31.1 - 127.1.31.6\n",
  );
  assert.equal(terminal.err, "  Looking for services\n  ! one port is in use\n");
});

Deno.test("Printer on a terminal: one changing line, taken away before anything else", () => {
  const terminal = new FakeTerminal({ isTerminal: true, unicode: true, columns: 12 });
  const print = new Printer(terminal);
  print.progress("a long text that does not fit");
  assert.equal(terminal.err, "\r  a long te\x1b[K");
  print.step("hosts", "18 names");
  assert.ok(terminal.err.endsWith("\r\x1b[K"));
  assert.equal(terminal.out, "  ✔ hosts 18 names\n");
});

Deno.test("Printer on a terminal of 80 columns: steps fit, in two columns", () => {
  const steps = (columns: number) => {
    const terminal = new FakeTerminal({ isTerminal: true, unicode: true, columns });
    const print = new Printer(terminal);
    print.step("6 services of sample-project, 9 ports", "127.1.31.1 – 127.1.31.6");
    print.step("/etc/hosts", "24 names (backup: ~/hosts.original)");
    return terminal.out;
  };
  assert.equal(
    steps(80),
    `  ✔ ${"6 services of sample-project, 9 ports".padEnd(40)} 127.1.31.1 – 127.1.31.6\n` +
      `  ✔ ${"/etc/hosts".padEnd(40)} 24 names (backup: ~/hosts.original)\n`,
  );
  assert.ok(steps(200).includes(`/etc/hosts${" ".repeat(39)}24 names`));
});

Deno.test("Printer on a terminal that cannot rewrite a line (TERM=dumb): plain lines", () => {
  const terminal = new FakeTerminal({ isTerminal: true, rewrites: false });
  const print = new Printer(terminal);
  print.progress("Looking");
  print.progress("Looking");
  print.say("Done");
  assert.equal(terminal.err, "  Looking\n");
});

Deno.test("Printer colours marks only where the terminal wants colour", () => {
  const with_ = new FakeTerminal({ isTerminal: true, color: true });
  new Printer(with_).step("a", "b");
  assert.ok(with_.out.includes("\x1b[32mok\x1b[0m"));
  const without = new FakeTerminal({ isTerminal: true, color: false });
  new Printer(without).step("a", "b");
  assert.ok(!without.out.includes("\x1b"));
});

Deno.test("Printer colours each stream by itself: czctl ... 2>log gets no escapes into the log", () => {
  const terminal = new FakeTerminal({ isTerminal: true, color: true, errorColor: false });
  const print = new Printer(terminal);
  print.step("a", "b");
  print.note("c");
  print.error("d");
  assert.ok(terminal.out.includes("\x1b[32m"));
  assert.equal(terminal.err.replaceAll("\r\x1b[K", ""), "  ! c\nerror: d\n");
});

Deno.test("Printer lets no text from a cluster reach the terminal in the raw", () => {
  const terminal = new FakeTerminal({ isTerminal: true });
  const print = new Printer(terminal);
  const evil = "\x1b]0;owned\x07\u009b2J\u202e";
  print.step(evil, evil);
  print.note(evil);
  print.line(evil);
  print.say(evil);
  print.raw(evil);
  print.json({ [evil]: evil });
  print.error(evil, evil);
  print.errorLines(evil);
  const shown = terminal.out + terminal.err;
  for (const harmful of ["\x1b", "\x07", "\u009b", "\u202e"]) assert.ok(!shown.includes(harmful));
});

Deno.test("Printer.error() keeps the lines of a hint, as commands to copy", () => {
  const terminal = new FakeTerminal();
  new Printer(terminal).error("one\nline", "To be run:\nkubectl a\nkubectl b\x1b");
  assert.equal(terminal.err, "error: one line\n  To be run:\n  kubectl a\n  kubectl b\\x1b\n");
});

Deno.test("Printer.raw() leaves bytes for a pipe as they are", () => {
  const terminal = new FakeTerminal();
  new Printer(terminal).raw("A='\x1b'\n");
  assert.equal(terminal.out, "A='\x1b'\n");
});

Deno.test("Printer is silent with -q but for facts and errors", () => {
  const terminal = new FakeTerminal();
  const print = new Printer(terminal);
  print.quiet = true;
  print.step("a", "b");
  print.note("c");
  print.progress("d");
  print.say("e");
  assert.equal(terminal.out + terminal.err, "");
  print.error("f");
  assert.equal(terminal.err, "error: f\n");
});

Deno.test("Printer with -o json writes nothing but JSON to standard output", () => {
  const terminal = new FakeTerminal();
  const print = new Printer(terminal);
  print.format = "json";
  print.step("a", "b");
  print.say("for people");
  print.json({ x: 1 });
  assert.deepEqual(JSON.parse(terminal.out), { x: 1 });
});

Deno.test("report() shows message and hint of an expected failure, no stack", () => {
  const terminal = new FakeTerminal();
  const error = new CzctlError("denied", "Cannot list services: forbidden", { hint: "Ask for it" });
  assert.equal(report(error, new Printer(terminal)), 3);
  assert.equal(terminal.err, "error: Cannot list services: forbidden\n  Ask for it\n");
  assert.equal(terminal.out, "");
});

Deno.test("report() gives errors as JSON too when that was asked for", () => {
  const terminal = new FakeTerminal();
  const print = new Printer(terminal);
  print.format = "json";
  assert.equal(report(new CzctlError("not_elevated", "No root", { hint: "start" }), print), 4);
  assert.deepEqual(JSON.parse(terminal.out), {
    error: { code: "not_elevated", message: "No root", hint: "start" },
  });
});

Deno.test("report() shows the stack of a bug, with its causes", () => {
  const terminal = new FakeTerminal();
  const bug = new TypeError("x is undefined", { cause: new Error("deeper") });
  assert.equal(report(bug, new Printer(terminal)), 1);
  assert.match(terminal.err, /TypeError: x is undefined\n {4}at /);
  assert.match(terminal.err, /caused by Error: deeper\n/);
  assert.match(terminal.err, /error: This is a bug in czctl\n/);
});

Deno.test("report() has nothing to say when the reader has left", () => {
  const terminal = new FakeTerminal();
  assert.equal(report(new BrokenPipe(), new Printer(terminal)), 0);
  assert.equal(terminal.out + terminal.err, "");
});
