/** Names that already lead somewhere outside are left alone, told, and taken when the user insists. */
import assert from "node:assert/strict";
import { until } from "./sandbox.ts";
import { e2e } from "./scene.ts";

const ns = "sample-project";

/**
 * A name server that knows `sample-project.` as a public domain with one host,
 * and `sample-project-echo` through the search path. Everything else is NXDOMAIN.
 */
const NAME_SERVER = `
  const server = require("dgram").createSocket("udp4");
  const text = (m) => { let at = 12; const labels = []; while (m[at]) { labels.push(m.toString("latin1", at + 1, at + 1 + m[at])); at += m[at] + 1; } return [labels.join("."), at + 5]; };
  const rr = (type, data) => Buffer.concat([Buffer.from([0xc0, 12, 0, type, 0, 1, 0, 0, 0, 60, 0, data.length]), data]);
  server.on("message", (m, from) => {
    const [name, end] = text(m); const type = m.readUInt16BE(end - 4); let answer;
    if (name === "sample-project" && type === 2) answer = rr(2, Buffer.from([2, 110, 115, 0]));
    if (name === "sample-project-web.sample-project" && type === 1) answer = rr(1, Buffer.from([203, 0, 113, 7]));
    if (name === "sample-project-echo.office.example" && type === 1) answer = rr(1, Buffer.from([203, 0, 113, 8]));
    const head = Buffer.from([m[0], m[1], 0x81, answer ? 0x80 : 0x83, 0, 1, 0, answer ? 1 : 0, 0, 0, 0, 0]);
    server.send(Buffer.concat([head, m.subarray(12, end), answer || Buffer.alloc(0)]), from.port, from.address);
  });
  server.bind(53, process.argv[1], () => console.log("up"));`;

e2e(
  "names that lead elsewhere outside are left out and told, --take insists",
  async ({ box, done }) => {
    const address = "127.66.7.53";
    await box.sh(
      `printf 'nameserver ${address}\\nsearch office.example\\noptions timeout:1\\n' > /etc/resolv.conf`,
    );
    const server = box.start(["node", "-e", NAME_SERVER, address]);
    const said = server.stdout.getReader();
    assert.equal(new TextDecoder().decode((await said.read()).value), "up\n");
    try {
      const opened = await done("teleport", "namespace", ns);
      const text = opened.stdout + opened.stderr;
      assert.match(
        text,
        /sample-project-web\.sample-project is left out: it leads to 203\.0\.113\.7 outside/,
      );
      assert.match(text, /sample-project-echo is left out: it leads to 203\.0\.113\.8 outside/);
      assert.equal(text.match(/sample-project-echo is left out/g)!.length, 1, "told once");
      const hosts = await box.hostsText();
      assert.doesNotMatch(hosts, /sample-project-web\.sample-project(\s|$)/m);
      assert.match(hosts, /sample-project-web\.sample-project\.svc /);
      assert.doesNotMatch(hosts, /sample-project-echo$/m);
      assert.match(hosts, /sample-project-server$/m);
      await done("session", "close");

      await done("teleport", "namespace", ns, "--take", "sample-project-web.sample-project");
      assert.match(await box.hostsText(), / sample-project-web\.sample-project /);
      await done("session", "close");
    } finally {
      for (const pid of await box.pidsOf("node")) await box.kill(pid, "KILL");
      await said.cancel();
      await server.stderr.cancel();
      await server.status;
    }
  },
);

e2e(
  "a session opens where no name server answers",
  async ({ box, done }) => {
    await box.sh("printf 'nameserver 127.66.7.54\\n' > /etc/resolv.conf");
    await done("start");
    await done("teleport", "namespace", ns);
    await until(
      "the names are there",
      async () => (await box.hostsText()).includes("sample-project-web"),
    );
    await done("stop");
  },
);
