import type { Clock } from "../model/clock.ts";
import type { ConnectionFailure } from "../model/control.ts";
import type { ServiceEndpoint } from "../model/service.ts";
import { shellWord } from "../model/shell_word.ts";
import type { TunnelError } from "./errors.ts";

/** Longest reason that is kept, in characters: it may be a cluster's text. */
const REASON_LIMIT = 400;

/** A port that pods are ready for and do not have. */
export interface MissingPort {
  /** The Service's name for it, `""` for the single unnamed one. */
  readonly portName: string;
  /** The container port's name that it leads to; a number would be there whatever the pods have. */
  readonly targetName?: string;
}

/** The connections of one listener that came to nothing, and why the last one did. */
export class Failures {
  #count = 0;
  #last: ConnectionFailure | undefined;

  /** `kubectl`: how its commands begin. */
  constructor(
    private readonly clock: Clock,
    private readonly namespace: string,
    private readonly kubectl: string,
  ) {}

  get count(): number {
    return this.#count;
  }

  /** Undefined as soon as a later connection is answered. */
  get last(): ConnectionFailure | undefined {
    return this.#last;
  }

  /** There was no pod to try. */
  addNoPod(missing: MissingPort | undefined): void {
    const kubectl = `${this.kubectl} -n ${shellWord(this.namespace)}`;
    if (missing === undefined) {
      this.#add("No pod was ready in time", `${kubectl} get pods`);
    } else if (missing.targetName !== undefined) {
      this.#add(
        `No pod has the port "${missing.targetName}" it leads to`,
        `Compare the Service's targetPort with the ports of its pods: ${kubectl} describe pods`,
      );
    } else {
      const called = missing.portName === "" ? "without a name" : `named "${missing.portName}"`;
      this.#add(
        `None of its EndpointSlices has a port ${called}, as the Service has`,
        `Compare the names of the ports: ${kubectl} get endpointslices -o yaml`,
      );
    }
  }

  /** `pod` is the one that was tried last. */
  add(
    error: TunnelError,
    pod: { readonly endpoint: ServiceEndpoint; readonly port: number } | undefined,
  ): void {
    const { reason, hint } = told(error, pod, this.kubectl);
    this.#add(reason, hint);
  }

  #add(reason: string, hint: string | undefined): void {
    this.#count++;
    this.#last = {
      at: new Date(this.clock.now()).toISOString(),
      // deno-lint-ignore no-control-regex
      reason: reason.replace(/[\x00-\x1f\x7f]+/g, " ").slice(0, REASON_LIMIT),
      ...(hint === undefined ? {} : { hint }),
    };
  }

  answered(): void {
    this.#last = undefined;
  }
}

function told(
  error: TunnelError,
  pod: { readonly endpoint: ServiceEndpoint; readonly port: number } | undefined,
  kubectl: string,
): { reason: string; hint?: string | undefined } {
  if (pod === undefined) return { reason: error.message, hint: error.hint };
  const { podNamespace, podName } = pod.endpoint;
  const name = `${podNamespace}/${podName}`;
  if (error.fault === "refused" && /refused/i.test(error.message)) {
    return {
      reason: `Pod "${name}" refuses connections to its port ${pod.port}`,
      hint: `Does a program listen there, and is it the Service's targetPort? ${kubectl} -n ${
        shellWord(podNamespace)
      } logs ${shellWord(podName)}`,
    };
  }
  const who = error.message.includes(`"${name}"`) ? "" : `Pod "${name}": `;
  return { reason: `${who}${error.message}`, hint: error.hint };
}
