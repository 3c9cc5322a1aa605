/**
 * Endings under which a name belongs to somebody in public: `google` in a
 * namespace called `com` must not become google.com on this machine, nor its
 * pod `www` www.google.com.
 */

/** ISO 3166 country codes that are top-level domains, and the two-letter extras in the root zone. */
const COUNTRY_CODES = new Set(
  ("ac ad ae af ag ai al am ao aq ar as at au aw ax az ba bb bd be bf bg bh bi bj bm bn bo br bs " +
    "bt bv bw by bz ca cc cd cf cg ch ci ck cl cm cn co cr cu cv cw cx cy cz de dj dk dm do dz ec " +
    "ee eg er es et eu fi fj fk fm fo fr ga gb gd ge gf gg gh gi gl gm gn gp gq gr gs gt gu gw gy " +
    "hk hm hn hr ht hu id ie il im in io iq ir is it je jm jo jp ke kg kh ki km kn kp kr kw ky kz " +
    "la lb lc li lk lr ls lt lu lv ly ma mc md me mg mh mk ml mm mn mo mp mq mr ms mt mu mv mw mx " +
    "my mz na nc ne nf ng ni nl no np nr nu nz om pa pe pf pg ph pk pl pm pn pr ps pt pw py qa re " +
    "ro rs ru rw sa sb sc sd se sg sh si sj sk sl sm sn so sr ss st su sv sx sy sz tc td tf tg th " +
    "tj tk tl tm tn to tr tt tv tw tz ua ug uk us uy uz va vc ve vg vi vn vu wf ws ye yt za zm zw")
    .split(" "),
);

/** The old generic domains, and endings with a meaning of their own on a local network. */
const OTHERS = new Set(
  ("com net org edu gov mil int arpa info biz local localhost localdomain onion lan home corp " +
    // Root's own programs ask metadata.google.internal, metadata.goog and the
    // like for passwords and keys on the machines of cloud providers.
    "internal goog google").split(" "),
);

/** What stands in front of a country code where names are sold one level deeper: `co.uk`. */
const SECOND_LEVEL = new Set(
  "ac co com edu gob gov gouv go id info ltd me mil name ne net nom or org plc sch web".split(" "),
);

/** Whether `domain` is a public ending (`com`, `co.uk`): nobody's own to put names under. */
export function isPublicDomain(domain: string): boolean {
  const [first, second, ...more] = domain.split(".");
  if (second === undefined) return OTHERS.has(domain) || COUNTRY_CODES.has(domain);
  return more.length === 0 && SECOND_LEVEL.has(first!) && COUNTRY_CODES.has(second);
}

/**
 * The public ending of a short name (`google.com`, or `www.google.com` of a
 * pod), if it has one; a name of one label has none.
 */
export function publicEndingOf(name: string): string | undefined {
  const dot = name.lastIndexOf(".");
  const last = name.slice(dot + 1);
  return dot !== -1 && isPublicDomain(last) ? last : undefined;
}

/** Names every machine has already, besides `*.localhost`. */
const MACHINE_NAMES = new Set([
  "localhost",
  "localhost4",
  "localhost6",
  "localhost.localdomain",
  "localhost4.localdomain4",
  "localhost6.localdomain6",
  "ip6-localhost",
  "ip6-loopback",
  "ip6-localnet",
  "ip6-mcastprefix",
  "ip6-allnodes",
  "ip6-allrouters",
  "ip6-allhosts",
  "broadcasthost",
  "wpad",
  // Asked by root's cloud-init on Amazon's machines.
  "instance-data",
]);

export function isMachineName(name: string): boolean {
  return MACHINE_NAMES.has(name) || name.endsWith(".localhost");
}
