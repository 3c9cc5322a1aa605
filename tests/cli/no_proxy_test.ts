import assert from "node:assert/strict";
import { besideProxy, noProxyLine, noProxyOf } from "../../src/cli/run/no_proxy.ts";
import { fakeSession } from "./fakes.ts";

const [one] = fakeSession().services;
const named = (...names: string[]) => ({ ...one!, names });
const session = {
  services: [
    named("web.shop", "web.shop.svc", "web.shop.svc.cluster.local", "web"),
    named("db.shop", "db.shop.svc", "db.shop.svc.cluster.local", "db"),
    named("db-0.db.shop", "db-0.db.shop.svc", "db-0.db.shop.svc.cluster.local", "db-0.db"),
  ],
};
const WANTED = [".db", ".shop", ".shop.svc", ".shop.svc.cluster.local", "db", "web", "127.0.0.0/8"];

Deno.test("noProxyOf() names each ending once, the bare names and the addresses", () => {
  assert.deepEqual(noProxyOf(session), WANTED);
});

Deno.test("besideProxy() adds to what is there, and only where there is a proxy", () => {
  const without = { PATH: "/bin", NO_PROXY: "a" };
  assert.equal(besideProxy(without, session), without);
  const all = { http_proxy: "http://p:1", NO_PROXY: "*" };
  assert.equal(besideProxy(all, session), all);
  const text = ["localhost", ".shop", ...WANTED.filter((entry) => entry !== ".shop")].join(",");
  assert.deepEqual(
    besideProxy({ HTTPS_PROXY: "http://p:1", no_proxy: "localhost, .shop" }, session),
    {
      HTTPS_PROXY: "http://p:1",
      NO_PROXY: text,
      no_proxy: text,
    },
  );
});

Deno.test("noProxyLine() is for shells whose programs would ask the proxy", () => {
  const env = { all_proxy: "socks5://p:1", NO_PROXY: "localhost" };
  const endings = ".db,.shop,.shop.svc,.shop.svc.cluster.local,127.0.0.0/8";
  assert.equal(
    noProxyLine(env, session),
    `export NO_PROXY="$NO_PROXY,${endings}"; export no_proxy="$NO_PROXY"`,
  );
  assert.equal(
    noProxyLine({ http_proxy: "http://p:1", no_proxy: ".shop" }, session),
    `export no_proxy="$no_proxy,${endings.replace(".shop,", "")}"; export NO_PROXY="$no_proxy"`,
  );
  assert.equal(noProxyLine({ ...env, NO_PROXY: endings }, session), undefined);
  assert.equal(noProxyLine({ NO_PROXY: "localhost" }, session), undefined);
});
