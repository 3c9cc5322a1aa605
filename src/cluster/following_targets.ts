import type { ApiTargetSource } from "../model/api_target.ts";
import type { Clock } from "../model/clock.ts";
import { messageOf } from "../model/errors.ts";
import type { Logger } from "../model/log.ts";
import { fileSignature } from "../platform/file_signature.ts";

/** The kubeconfig files are looked at no more often than this, in ms, unless credentials were refused. */
const LOOK_MS = 1_000;

export interface FollowOptions {
  /** The kubeconfig files in use, and the certificate authority's. */
  readonly files: readonly string[];
  readonly first: ApiTargetSource;
  /** Reads the kubeconfig again, for the same context. Throws when it cannot be used as it is now. */
  readonly reload: () => Promise<ApiTargetSource>;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Targets that follow the kubeconfig: when one of its files is written anew (a
 * cluster that got another address, renewed credentials), new connections go
 * by the new contents. A kubeconfig that cannot be used, in the middle of an
 * edit for example, leaves what was known in force.
 */
export async function followingTargets(options: FollowOptions): Promise<ApiTargetSource> {
  const { files, clock, log } = options;
  if (files.length === 0) return options.first;
  const stampOf = async () => (await Promise.all(files.map(fileSignature))).join(" ");
  let targets = options.first;
  let stamp = await stampOf();
  let looked = clock.monotonic();
  let looking: Promise<void> | undefined;

  const look = async () => {
    const now = await stampOf();
    if (now === stamp) return;
    stamp = now;
    try {
      targets = await options.reload();
      log.info("The kubeconfig was changed and is read again");
    } catch (error) {
      log.warn("The kubeconfig was changed and cannot be used; the old one stays in force", {
        reason: messageOf(error),
      });
    }
  };

  return async (asked) => {
    const due = asked?.refresh === true || clock.monotonic() - looked >= LOOK_MS;
    if (looking === undefined && due) {
      looked = clock.monotonic();
      looking = look().finally(() => looking = undefined);
    }
    await looking;
    return await targets(asked);
  };
}
