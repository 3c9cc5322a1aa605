import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openCluster } from "../../src/cluster/cluster.ts";
import { loadKubeconfig } from "../../src/cluster/kubeconfig.ts";
import { CzctlError } from "../../src/model/errors.ts";
import { silentLogger } from "../../src/model/log.ts";
import { systemClock } from "../../src/platform/clock.ts";
import { TestAuthority } from "./certificates.ts";

const CA = new TestAuthority().cert;

async function inFolder(
  files: Record<string, string>,
  work: (folder: string) => Promise<void>,
): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "czctl-kubeconfig-"));
  try {
    for (const [name, text] of Object.entries(files)) {
      await mkdir(join(folder, name, ".."), { recursive: true });
      await writeFile(join(folder, name), text);
    }
    await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

interface Where {
  kubeconfig?: string;
  context?: string;
  env?: Record<string, string>;
}

function open(folder: string, where: Where) {
  return openCluster({
    ...(where.kubeconfig === undefined ? {} : { kubeconfig: where.kubeconfig }),
    ...(where.context === undefined ? {} : { context: where.context }),
    env: where.env ?? {},
    cwd: folder,
    home: join(folder, "home"),
    log: silentLogger,
    clock: systemClock,
  });
}

/** The error's code, and its message and hint with the folder taken out. */
async function failure(folder: string, where: Where) {
  try {
    const cluster = await open(folder, where);
    await cluster.targets();
    await cluster.close();
  } catch (error) {
    if (!(error instanceof CzctlError)) throw error;
    const clean = (text: string) => text.replaceAll(folder, "DIR");
    return { code: error.code, message: clean(error.message), hint: clean(error.hint ?? "") };
  }
  throw new Error("it worked");
}

function config(name: string, more: { cluster?: string; user?: string; current?: boolean } = {}) {
  return `apiVersion: v1
kind: Config
${more.current === false ? "" : `current-context: ${name}`}
contexts:
- name: ${name}
  context: {cluster: ${name}, user: ${name}, namespace: ns-${name}}
clusters:
- name: ${name}
  cluster: ${more.cluster ?? `{server: "https://${name}.example:6443"}`}
users:
- name: ${name}
  user: ${more.user ?? `{token: "token-${name}"}`}
`;
}

Deno.test("KUBECONFIG with several files merges them, the first mention winning", async () => {
  await inFolder({
    "one": config("one") + "",
    "two": config("two").replace(
      "- name: two\n  user:",
      "- name: one\n  user: {token: stolen}\n- name: two\n  user:",
    ),
  }, async (folder) => {
    const env = { KUBECONFIG: `one::${folder}/missing:two` };
    const first = await open(folder, { env });
    assert.equal(first.context, "one");
    assert.equal(first.namespace, "ns-one");
    assert.equal(first.server, "https://one.example:6443");
    assert.equal((await first.targets()).headers.authorization, "Bearer token-one");
    const second = await open(folder, { env, context: "two" });
    assert.equal(second.server, "https://two.example:6443");
    assert.notEqual(first.id, second.id);
    await first.close();
    await second.close();
  });
});

Deno.test("the default is ~/.kube/config, and --kubeconfig beats everything", async () => {
  await inFolder(
    { "home/.kube/config": config("home"), "env": config("env"), "sub/flag": config("flag") },
    async (folder) => {
      const context = async (where: Where) => {
        const cluster = await open(folder, where);
        await cluster.close();
        return cluster.context;
      };
      assert.equal(await context({}), "home");
      assert.equal(await context({ env: { KUBECONFIG: "env" } }), "env");
      const env = { KUBECONFIG: "env" };
      assert.equal(await context({ env, kubeconfig: "sub/../sub/flag" }), "flag");
      assert.equal(await context({ env, kubeconfig: "~/.kube/config" }), "home");
    },
  );
});

Deno.test("paths inside a kubeconfig are relative to its own folder, and data wins over a file", async () => {
  const pair = new TestAuthority().client("alice");
  await inFolder({
    "sub/config": config("a", {
      cluster: `{server: "https://a.example", certificate-authority: pki/ca.crt}`,
      user: `{client-certificate: pki/c.crt, client-key: pki/gone.key, client-key-data: ${
        btoa(pair.key)
      }}`,
    }),
    "sub/pki/ca.crt": CA,
    "sub/pki/c.crt": pair.cert,
  }, async (folder) => {
    const cluster = await open(folder, { kubeconfig: "sub/config" });
    const target = await cluster.targets();
    assert.deepEqual(target.tls, {
      insecureSkipVerify: false,
      ca: CA,
      cert: pair.cert,
      key: pair.key,
    });
    assert.equal(target.port, 443);
    await cluster.close();
  });
});

Deno.test("the same cluster under two contexts has one id, a cluster made anew another", async () => {
  const text = (ca: string) =>
    JSON.stringify({
      contexts: [
        { name: "a", context: { cluster: "x", user: "u" } },
        { name: "b", context: { cluster: "y", user: "v" } },
      ],
      clusters: [
        {
          name: "x",
          cluster: { server: "https://k:6443", "certificate-authority-data": btoa(ca) },
        },
        { name: "y", cluster: { server: "https://k:6443/", "certificate-authority": "ca.crt" } },
      ],
      users: [{ name: "u", user: { token: "1" } }, { name: "v", user: { token: "2" } }],
    });
  const other = new TestAuthority().cert;
  await inFolder({ "old": text(CA), "new": text(other), "ca.crt": CA }, async (folder) => {
    const id = async (kubeconfig: string, context: string) => {
      const cluster = await open(folder, { kubeconfig, context });
      await cluster.close();
      return cluster.id;
    };
    assert.equal(await id("old", "a"), await id("old", "b"));
    assert.notEqual(await id("old", "a"), await id("new", "a"));
  });
});

Deno.test("inside a pod the service account serves, its token read again when it rotates", async () => {
  await inFolder({
    "sa/token": "first\n",
    "sa/ca.crt": CA,
    "sa/namespace": "team",
  }, async (folder) => {
    const cluster = await open(folder, {
      env: {
        KUBERNETES_SERVICE_HOST: "fd00::1",
        KUBERNETES_SERVICE_PORT: "443",
        CZCTL_SERVICE_ACCOUNT_DIR: join(folder, "sa"),
      },
    });
    assert.equal(cluster.context, "in-cluster");
    assert.equal(cluster.namespace, "team");
    const target = await cluster.targets();
    assert.equal(target.host, "fd00::1");
    assert.equal(target.tls?.ca, CA);
    assert.equal(target.headers.authorization, "Bearer first");
    await writeFile(join(folder, "sa/token"), "second");
    const again = await cluster.targets({ refresh: true });
    assert.equal(again.headers.authorization, "Bearer second");
    await cluster.close();
  });
});

Deno.test("inside a pod a context without a namespace has the pod's", async () => {
  const context = (namespace: string) => config("a").replace("namespace: ns-a", namespace);
  await inFolder({
    "none": context("namespace:"),
    "explicit": context("namespace: default"),
    "named": context("namespace: team"),
    "sa/token": "t",
    "sa/namespace": "of-account\n",
    "bare/token": "t",
    "off/namespace": "of-account",
  }, async (folder) => {
    const namespace = async (kubeconfig: string | undefined, env: Record<string, string>) => {
      const cluster = await open(folder, { ...(kubeconfig ? { kubeconfig } : {}), env });
      await cluster.close();
      return cluster.namespace;
    };
    const inside = (account: string, more = {}) => ({
      KUBERNETES_SERVICE_HOST: "10.0.0.1",
      KUBERNETES_SERVICE_PORT: "443",
      CZCTL_SERVICE_ACCOUNT_DIR: join(folder, account),
      ...more,
    });
    const pod = { POD_NAMESPACE: "of-pod" };
    const { KUBERNETES_SERVICE_PORT: _, ...noPort } = inside("sa", pod);
    const cases: [string | undefined, Record<string, string>, string][] = [
      ["none", inside("sa"), "of-account"],
      ["none", inside("sa", pod), "of-pod"],
      ["none", inside("bare"), "default"],
      ["none", inside("bare", pod), "of-pod"],
      ["none", inside("off", pod), "default"],
      ["none", noPort, "default"],
      ["none", { CZCTL_SERVICE_ACCOUNT_DIR: join(folder, "sa"), ...pod }, "default"],
      ["explicit", inside("sa", pod), "default"],
      ["named", inside("sa", pod), "team"],
    ];
    for (const [kubeconfig, env, wanted] of cases) {
      assert.equal(await namespace(kubeconfig, env), wanted, JSON.stringify([kubeconfig, env]));
    }
    await writeFile(join(folder, "sa/ca.crt"), CA);
    assert.equal(await namespace(undefined, inside("sa", pod)), "of-pod");
  });
});

Deno.test("impersonation, basic auth, tls-server-name and proxy-url reach the target", async () => {
  await inFolder({
    "config": config("a", {
      cluster:
        `{server: "https://a.example/k8s/c1/", tls-server-name: real.example, proxy-url: "socks5://p:1080", insecure-skip-tls-verify: true}`,
      user:
        `{username: bob, password: "p:w", as: alice, as-uid: "7", as-groups: [dev, ops], as-user-extra: {Scope: [x]}}`,
    }),
  }, async (folder) => {
    const cluster = await open(folder, {
      kubeconfig: "config",
      env: { HTTPS_PROXY: "http://ignored", NO_PROXY: "*" },
    });
    assert.deepEqual(await cluster.targets(), {
      host: "a.example",
      port: 443,
      basePath: "/k8s/c1",
      headers: {
        "impersonate-user": "alice",
        "impersonate-uid": "7",
        authorization: `Basic ${btoa("bob:p:w")}`,
      },
      repeatedHeaders: [
        ["impersonate-group", "dev"],
        ["impersonate-group", "ops"],
        ["impersonate-extra-scope", "x"],
      ],
      proxyUrl: "socks5://p:1080",
      tls: { insecureSkipVerify: true, serverName: "real.example" },
    });
    await cluster.close();
  });
});

Deno.test("what is wrong with a kubeconfig is told clearly", async () => {
  const files = {
    "empty": "",
    "ok": config("production"),
    "pod": "apiVersion: v1\nkind: Pod\n",
    "list": "- a\n- b\n",
    "shape": "clusters: {a: b}\n",
    "nocurrent": config("a", { current: false }),
    "nocluster": "current-context: a\ncontexts: [{name: a, context: {user: u}}]\n",
    "lostcluster":
      "current-context: a\ncontexts: [{name: a, context: {cluster: prod}}]\nclusters: [{name: prd, cluster: {server: 'https://x'}}]\n",
    "noserver": config("a", { cluster: "{}" }),
    "badserver": config("a", { cluster: "{server: 'ftp://x'}" }),
    "lostuser": config("a").replace("users:\n- name: a", "users:\n- name: other"),
    "nocert": config("a", { user: "{client-certificate: gone.crt, client-key: gone.key}" }),
    "nokey": config("a", { user: `{client-certificate-data: ${btoa(CA)}}` }),
    "noca": config("a", { cluster: "{server: 'https://x', certificate-authority: gone.crt}" }),
    "badca": config("a", {
      cluster: "{server: 'https://x', certificate-authority-data: aGVsbG8=}",
    }),
    "notoken": config("a", { user: "{tokenFile: gone}" }),
    "groups": config("a", { user: "{as: bob, as-groups: dev}" }),
    "gcp": config("a", { user: "{auth-provider: {name: gcp}}" }),
  };
  await inFolder(files, async (folder) => {
    const cases: [Where, string, RegExp][] = [
      [{}, 'Cannot find a kubeconfig: "DIR/home/.kube/config" does not exist', /--kubeconfig/],
      [
        { env: { KUBECONFIG: "x:y" } },
        'Cannot find a kubeconfig: "DIR/x", "DIR/y" (from KUBECONFIG) does not exist',
        /--kubeconfig/,
      ],
      [
        { kubeconfig: "gone" },
        'Cannot read the kubeconfig "DIR/gone": no such file',
        /--kubeconfig/,
      ],
      [{ kubeconfig: "." }, 'Cannot read the kubeconfig "DIR": it is a folder', /--kubeconfig/],
      [
        { kubeconfig: "empty" },
        'Cannot choose a context: the kubeconfig "DIR/empty" holds none',
        /--kubeconfig/,
      ],
      [
        { kubeconfig: "ok", context: "prodution" },
        'Cannot use the context "prodution": the kubeconfig has none of that name; did you mean "production"?',
        /Contexts: production/,
      ],
      [
        { kubeconfig: "nocurrent" },
        "Cannot choose a context: the kubeconfig has no current one",
        /--context: a/,
      ],
      [
        { kubeconfig: "pod" },
        'Cannot use the kubeconfig "DIR/pod": it is a Pod, not a kubeconfig',
        /./,
      ],
      [
        { kubeconfig: "list" },
        'Cannot use the kubeconfig "DIR/list": it is not a kubeconfig (a mapping is expected)',
        /./,
      ],
      [
        { kubeconfig: "shape" },
        'Cannot use the kubeconfig "DIR/shape": "clusters" is not a list',
        /./,
      ],
      [
        { kubeconfig: "nocluster" },
        'Cannot use the context "a": it names no cluster',
        /kubectl --kubeconfig DIR\/nocluster config view$/,
      ],
      [
        { kubeconfig: "lostcluster" },
        'Cannot use the context "a": its cluster "prod" is not in the kubeconfig; did you mean "prd"?',
        /./,
      ],
      [
        { kubeconfig: "noserver" },
        'Cannot use the context "a": its cluster "a" has no server',
        /./,
      ],
      [
        { kubeconfig: "badserver" },
        'Cannot use the context "a": "ftp://x" is not the URL of a server',
        /set-cluster/,
      ],
      [
        { kubeconfig: "lostuser" },
        'Cannot use the context "a": its user "a" is not in the kubeconfig',
        /./,
      ],
      [
        { kubeconfig: "nocert" },
        'Cannot read the client-certificate "DIR/gone.crt" of "a": no such file',
        /path/,
      ],
      [
        { kubeconfig: "nokey" },
        'Cannot log in as "a": it has a client certificate but no key',
        /./,
      ],
      [
        { kubeconfig: "noca" },
        'Cannot read the certificate-authority "DIR/gone.crt" of "a": no such file',
        /path/,
      ],
      [
        { kubeconfig: "badca" },
        'Cannot use certificate-authority-data of "a": it is not PEM',
        /base64/,
      ],
      [
        { kubeconfig: "notoken" },
        'Cannot read the token file "DIR/gone": no such file',
        /tokenFile/,
      ],
      [
        { kubeconfig: "groups" },
        'Cannot use the kubeconfig "DIR/groups": "as-groups" of users[0] is not a list',
        /./,
      ],
      [
        { kubeconfig: "gcp" },
        'Cannot log in as "a": the auth provider "gcp" was removed from Kubernetes',
        /gke-gcloud-auth-plugin/,
      ],
    ];
    for (const [where, message, hint] of cases) {
      const found = await failure(folder, where);
      assert.equal(found.message, message);
      assert.equal(found.code, "failed");
      assert.match(found.hint, hint);
    }
  });
});

Deno.test("broken YAML is told with file and line", async () => {
  await inFolder({
    "broken": "apiVersion: v1\nclusters:\n- name: a\n  cluster: {server: x\nusers: []\n",
    "tabs": "apiVersion: v1\nclusters:\n\t- name: a\n",
    // Nine lines that would become millions of entries.
    "bomb": [..."abcdefgh"].reduce(
      (text, name, at) => `${text}${name}: &${name} [${`*${"xabcdefgh"[at]},`.repeat(9)}]\n`,
      "x: &x [1]\n",
    ),
  }, async (folder) => {
    const broken = await failure(folder, { kubeconfig: "broken" });
    assert.match(broken.message, /^Cannot use the kubeconfig "DIR\/broken": line [45]: /);
    const tabs = await failure(folder, { kubeconfig: "tabs" });
    assert.match(tabs.message, /^Cannot use the kubeconfig "DIR\/tabs": line 3: /);
    const bomb = await failure(folder, { kubeconfig: "bomb" });
    assert.match(bomb.message, /^Cannot use the kubeconfig "DIR\/bomb": .*alias/i);
  });
});

Deno.test("loadKubeconfig() takes a number for a token as text", async () => {
  await inFolder({ "config": config("a", { user: "{token: 1234}" }) }, async (folder) => {
    const loaded = await loadKubeconfig({ explicit: "config", env: {}, cwd: folder, home: folder });
    assert.equal(loaded.users.get("a")?.token, "1234");
  });
});

Deno.test("YAML is understood as kubectl does: keys given twice, merges, documents, booleans", async () => {
  const cases: [string, object][] = [
    [`{server: "https://one", server: "https://two"}`, { server: "https://two" }],
    ["{<<: *x, server: own}", { server: "own", "tls-server-name": "x" }],
    ["{server: own, <<: *x}", { server: "merged", "tls-server-name": "x" }],
    ["{<<: [*y, *x]}", { server: "y", "tls-server-name": "x" }],
    ["{<<: [*x, {server: z, proxy-url: p}]}", {
      server: "merged",
      "tls-server-name": "x",
      "proxy-url": "p",
    }],
    [`{server: own, "<<": *x}`, { server: "own" }],
    ["{server: s, insecure-skip-tls-verify: yes}", {
      server: "s",
      "insecure-skip-tls-verify": true,
    }],
    ["{server: on, insecure-skip-tls-verify: *on}", {
      server: "on",
      "insecure-skip-tls-verify": true,
    }],
    ["{server: s, insecure-skip-tls-verify: Off}", {
      server: "s",
      "insecure-skip-tls-verify": false,
    }],
    // No boolean in YAML 1.1 either: it must not switch verification off.
    [`{server: s, insecure-skip-tls-verify: "yes"}`, {
      server: "s",
      "insecure-skip-tls-verify": "yes",
    }],
    ["{server: s, new-field: [1], other: {a: b}}", { server: "s" }],
    ["{server: s, __proto__: {server: t}}", { server: "s" }],
  ];
  const start = "x: &x {server: merged, tls-server-name: x}\ny: &y {server: y}\non: &on on\n";
  await inFolder({ "config": "" }, async (folder) => {
    for (const [cluster, wanted] of cases) {
      const text = `${start}${config("a", { cluster })}---\nclusters: [\n`;
      await writeFile(join(folder, "config"), text);
      const place = { explicit: "config", env: {}, cwd: folder, home: folder };
      assert.deepEqual((await loadKubeconfig(place)).clusters.get("a"), wanted, cluster);
    }
  });
});

Deno.test("an alias is what its anchor was where it stood", async () => {
  const text = "a: &x one\nb: &y {server: *x}\nc: &x two\n";
  await inFolder({ "config": text + config("a", { cluster: "*y" }) }, async (folder) => {
    const loaded = await loadKubeconfig({ explicit: "config", env: {}, cwd: folder, home: folder });
    assert.equal(loaded.clusters.get("a")?.server, "one");
  });
});

Deno.test("aliases that lead nowhere, to themselves or to millions of nodes are refused at once", async () => {
  const bomb = (line: (name: string, before: string) => string) =>
    [..."abcdefgh"].reduce(
      (text, name, at) => `${text}${line(name, "xabcdefgh"[at]!)}\n`,
      "x: &x {k: 1}\n",
    );
  const cases: [string, RegExp][] = [
    ["a: *gone\n", /the alias "\*gone" has no anchor$/],
    ["a: *b\nb: &b 1\n", /the alias "\*b" has no anchor$/],
    ["a: &a [*a]\n", /"&a" contains itself$/],
    ["a: &a {b: {<<: *a}}\n", /"&a" contains itself$/],
    ["a: &a 1\nb: {<<: *a}\n", /what "<<" merges is not a mapping$/],
    ["a: {<<: [[{b: 1}]]}\n", /what "<<" merges is not a mapping$/],
    ["{a: b}: c\n", /a key is not a text$/],
    [
      bomb((name, before) => `${name}: &${name} [${`*${before},`.repeat(9)}]`),
      /its aliases repeat too much$/,
    ],
    [
      bomb((name, before) => `${name}: &${name} {<<: [${`*${before},`.repeat(9)}]}`),
      /its aliases repeat too much$/,
    ],
    [
      `k: &k {${Array.from({ length: 1000 }, (_, at) => `k${at}: 1`).join()}}\n` +
      "a: {<<: *k}\n".repeat(1000),
      /its aliases repeat too much$/,
    ],
  ];
  await inFolder({ "config": "" }, async (folder) => {
    for (const [text, reason] of cases) {
      await writeFile(join(folder, "config"), text);
      const began = performance.now();
      assert.match((await failure(folder, { kubeconfig: "config" })).message, reason, text);
      assert.ok(performance.now() - began < 2_000);
    }
  });
});

Deno.test("a kubectl command of a hint asks the same cluster", async () => {
  const here = { clusters: config("a"), "con fig": config("a"), other: config("b") };
  await inFolder(here, async (folder) => {
    const kubectl = async (where: Where) => {
      const cluster = await open(folder, where);
      await cluster.close();
      return cluster.kubectl.replaceAll(folder, "DIR");
    };
    const KUBECONFIG = "clusters:other";
    assert.equal(await kubectl({ env: { KUBECONFIG } }), "kubectl");
    assert.equal(await kubectl({ env: { KUBECONFIG }, context: "a" }), "kubectl");
    assert.equal(await kubectl({ env: { KUBECONFIG }, context: "b" }), "kubectl --context b");
    assert.equal(await kubectl({ kubeconfig: "other" }), "kubectl --kubeconfig DIR/other");
    // From any folder, and as one word.
    assert.equal(await kubectl({ kubeconfig: "con fig" }), "kubectl --kubeconfig 'DIR/con fig'");
  });
});
