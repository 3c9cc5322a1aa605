import { CzctlError, type ErrorCode } from "../model/errors.ts";

/**
 * How a stream, a link or a dial ended.
 *
 * `refused`: nothing listens on the port in the pod.
 * `reset`: the pod reset the connection.
 * `pod_gone`: the pod or its sandbox no longer exists.
 * `denied`: the API server refuses (credentials or RBAC).
 * `unreachable`: the API server, or the node behind it, cannot be reached.
 * `timeout`: something did not answer within its deadline.
 * `unsupported`: this way of carrying a port-forward is not understood there.
 * `link_lost`: the link broke while the stream was open.
 * `protocol`: the far end sent what no server sends.
 */
export type TunnelFault =
  | "refused"
  | "reset"
  | "pod_gone"
  | "denied"
  | "unreachable"
  | "timeout"
  | "unsupported"
  | "link_lost"
  | "protocol";

const CODE_OF: Record<TunnelFault, ErrorCode> = {
  refused: "failed",
  reset: "failed",
  pod_gone: "not_found",
  denied: "denied",
  unreachable: "unreachable",
  timeout: "unreachable",
  unsupported: "failed",
  link_lost: "unreachable",
  protocol: "failed",
};

/** Everything that can go wrong on the way to a pod. */
export class TunnelError extends CzctlError {
  readonly fault: TunnelFault;
  /** True when this proves that no byte of the connection reached a program in the pod. */
  readonly nothingDelivered: boolean;
  /** True when the API server answered, so the trouble lies behind it. */
  readonly answered: boolean;

  constructor(
    fault: TunnelFault,
    message: string,
    options: { nothingDelivered?: boolean; answered?: boolean; hint?: string; cause?: unknown } =
      {},
  ) {
    super(CODE_OF[fault], message, options);
    this.name = "TunnelError";
    this.fault = fault;
    this.nothingDelivered = options.nothingDelivered ?? false;
    this.answered = options.answered ?? false;
  }
}

/** A listener's address or port cannot be had. */
export class PortBlocked extends CzctlError {
  /** `permission`: needs root; `address`: the address is not one of this machine. */
  readonly kind: "in_use" | "permission" | "address" | "other";

  constructor(
    kind: "in_use" | "permission" | "address" | "other",
    message: string,
    options: { hint?: string; cause?: unknown } = {},
  ) {
    super("failed", message, options);
    this.name = "PortBlocked";
    this.kind = kind;
  }
}

/** Longest error text kept from a server, in characters. */
const TEXT_LIMIT = 600;

// What container runtimes write when dialling inside the pod failed: containerd ("failed to connect
// to localhost:80 inside namespace ..."), CRI-O ("dialing 80"), cri-dockerd's socat ("socat[1] E
// connect(...)"), and the errno of connect(2).
const DIAL_FAILED = /failed to connect to|failed to dial|connect\(|dial tcp|connect: /i;
// When bytes were under way already: the calls of Go's net, of Windows and of socat. Looked for
// first, because such a text may also tell of an address that was tried before.
const TRANSFER_FAILED =
  /\b(read|write|readfrom|writeto|splice) tcp|\bread: connection reset|\bwrite: (broken pipe|connection reset)|\b(read|write)\(\d+, 0x|wsarecv|wsasend/i;
// The sandbox is known no more, or its network namespace could not be entered: containerd, CRI-O
// ("could not find sandbox", "network namespace path of sandbox X is empty"), both by way of the CNI
// library ("failed to Statfs"), cri-dockerd by way of nsenter.
const SANDBOX_GONE =
  /(network namespace|sandbox|container|pod)\b.{0,200}\b(is closed|not found|is not running|not running|does not exist|no longer)|unable to find|could not find sandbox|path of sandbox \S{1,100} is empty|failed to statfs|unknown FS magic|nsenter: .{0,200}no such (file|process)|no such (container|pod|sandbox)|pods? ".{1,253}" not found/is;
/** cri-dockerd without socat or nsenter on its node. */
const TOOL_MISSING = /unable to do port forwarding/i;

/** Types the text that arrives on the error stream of a forwarded connection. */
export function classifyErrorText(raw: string): TunnelError {
  const text = raw.length > TEXT_LIMIT ? raw.slice(0, TEXT_LIMIT) + "..." : raw;
  if (TRANSFER_FAILED.test(raw)) {
    return new TunnelError("reset", `Connection reset by the pod: ${text}`);
  }
  if (/connection refused/i.test(raw) && DIAL_FAILED.test(raw)) {
    return new TunnelError("refused", `Connection refused in the pod: ${text}`, {
      nothingDelivered: true,
    });
  }
  if (TOOL_MISSING.test(raw)) {
    return new TunnelError("refused", `Cannot connect in the pod: ${text}`, {
      nothingDelivered: true,
    });
  }
  if (SANDBOX_GONE.test(raw)) {
    return new TunnelError("pod_gone", `Pod is gone: ${text}`, { nothingDelivered: true });
  }
  if (DIAL_FAILED.test(raw)) {
    const late = /timed? ?out|deadline/i.test(raw);
    return new TunnelError(late ? "timeout" : "refused", `Cannot connect in the pod: ${text}`, {
      nothingDelivered: true,
    });
  }
  return new TunnelError("reset", `Connection ended by the cluster: ${text}`);
}
