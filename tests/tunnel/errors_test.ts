import assert from "node:assert/strict";
import { classifyErrorText, type TunnelFault } from "../../src/tunnel/errors.ts";

const POD = "error forwarding port 80 to pod 5c6e, uid : ";
const CONTAINERD = `${POD}failed to execute portforward in network namespace "/run/netns/cni-1": `;
const CRIO = `${POD}port forward into network namespace "/run/netns/8f": `;
const SOCAT = `${POD}exit status 1: 2026/05/01 10:00:00 socat[12] `;

/** What runtimes write, from their sources, and whether it proves that nothing was delivered. */
const TEXTS: [text: string, fault: TunnelFault, nothingDelivered: boolean][] = [
  // containerd 1.4, 1.6 to 2.3, on Windows.
  [
    `${CONTAINERD}failed to dial 80: dial tcp4 127.0.0.1:80: connect: connection refused`,
    "refused",
    true,
  ],
  [
    `${CONTAINERD}failed to connect to localhost:80 inside namespace "5c6e", IPv4: dial tcp4 127.0.0.1:80: connect: connection refused IPv6 dial tcp6 [::1]:80: connect: connection refused `,
    "refused",
    true,
  ],
  [
    `${CONTAINERD}failed to connect to localhost:80 inside namespace "5c6e", IPv4: dial tcp4 127.0.0.1:80: connect: connection timed out IPv6 dial tcp6: lookup localhost: no such host `,
    "timeout",
    true,
  ],
  [
    `${POD}failed to execute portforward for podId 5c6e, podIp 10.0.0.1, err: failed to connect to 10.0.0.1:80 for pod "5c6e": dial tcp 10.0.0.1:80: connectex: No connection could be made because the target machine actively refused it.`,
    "refused",
    true,
  ],
  [
    `${POD}failed to execute portforward for podId 5c6e, podIp 10.0.0.1, err: read tcp 10.0.0.2:5->10.0.0.1:80: wsarecv: An existing connection was forcibly closed by the remote host.`,
    "reset",
    false,
  ],
  [
    `${CONTAINERD}readfrom tcp4 127.0.0.1:4->127.0.0.1:80: write tcp4 127.0.0.1:4->127.0.0.1:80: write: broken pipe`,
    "reset",
    false,
  ],
  [
    `${CONTAINERD}read tcp4 127.0.0.1:4->127.0.0.1:80: read: connection timed out`,
    "reset",
    false,
  ],
  [`${CONTAINERD}context canceled`, "reset", false],
  [`${POD}network namespace for sandbox "5c6e" is closed`, "pod_gone", true],
  [`${POD}failed to find sandbox "5c6e" in store: not found`, "pod_gone", true],
  [
    `${CONTAINERD}get netns fd: failed to Statfs "/run/netns/cni-1": no such file or directory`,
    "pod_gone",
    true,
  ],
  // containerd after 2.3 tries the pod's addresses, too (sandbox_portforward_linux.go, dialPodIPs).
  [`${CONTAINERD}dial tcp 10.244.0.7:80: connect: connection refused`, "refused", true],
  [
    `${CONTAINERD}dial tcp 10.244.0.7:80: i/o timeout\ndial tcp [fd00::7]:80: connect: no route to host`,
    "timeout",
    true,
  ],
  [
    `${CONTAINERD}IPv4: dial tcp4 127.0.0.1:80: connect: connection refused IPv6: dial tcp6 [::1]:80: connect: connection refused`,
    "refused",
    true,
  ],
  [
    `${POD}failed to execute portforward for "5c6e" port 80: readfrom tcp4 127.0.0.1:4->127.0.0.1:80: read: connection reset by peer`,
    "reset",
    false,
  ],
  // CRI-O 1.20 to 1.36.
  [`${CRIO}dialing 80: dial tcp4 127.0.0.1:80: connect: connection refused`, "refused", true],
  [
    `${CRIO}failed to connect to localhost:80 inside namespace 8f: dial tcp [::1]:80: connect: connection refused`,
    "refused",
    true,
  ],
  [
    `${CRIO}read tcp 127.0.0.1:4->127.0.0.1:80: read: connection reset by peer`,
    "reset",
    false,
  ],
  [`${POD}PodSandbox with ID starting with 8f not found: ID does not exist`, "pod_gone", true],
  [`${POD}could not find sandbox 8f`, "pod_gone", true],
  [`${POD}sandbox 8f is not running`, "pod_gone", true],
  [`${POD}network namespace path of sandbox 8f is empty`, "pod_gone", true],
  [
    `${CRIO}failed to Statfs "/run/netns/8f": no such file or directory`,
    "pod_gone",
    true,
  ],
  [`${CRIO}unknown FS magic on "/run/netns/8f": 1021994`, "pod_gone", true],
  // cri-dockerd.
  [`${SOCAT}E connect(5, AF=2 127.0.0.1:80, 16): Connection refused\n`, "refused", true],
  [`${SOCAT}E connect(5, AF=2 127.0.0.1:80, 16): Connection timed out\n`, "timeout", true],
  [`${SOCAT}E read(5, 0x55d0, 8192): Connection reset by peer\n`, "reset", false],
  [
    `${SOCAT}W connect(5, AF=10 [::1]:80, 28): Connection refused\nsocat[12] E write(5, 0x55d0, 8192): Broken pipe\n`,
    "reset",
    false,
  ],
  [`${POD}container not running (5c6e)`, "pod_gone", true],
  [`${POD}Error response from daemon: No such container: 5c6e`, "pod_gone", true],
  [
    `${POD}exit status 1: nsenter: cannot open /proc/77/ns/net: No such file or directory\n`,
    "pod_gone",
    true,
  ],
  // The node lacks what it takes: no pod of it can be reached, gone or not.
  [`${POD}unable to do port forwarding: socat not found`, "refused", true],
  [`${POD}exit status 137: `, "reset", false],
  // What a program in the pod has seen already, however it reads.
  [
    `${POD}write tcp4 127.0.0.1:4->127.0.0.1:80: write: container is not running`,
    "reset",
    false,
  ],
];

Deno.test("classifyErrorText knows what containerd, CRI-O and cri-dockerd write", () => {
  for (const [text, fault, nothingDelivered] of TEXTS) {
    const error = classifyErrorText(text);
    assert.deepEqual(
      { fault: error.fault, nothingDelivered: error.nothingDelivered },
      { fault, nothingDelivered },
      text,
    );
  }
});
