// deno-lint-ignore-file no-console
/**
 * One edit of a hosts file, as a process of its own that can be killed at any
 * step. Reads a job (JSON) from its first argument, prints what came of it.
 */
import { systemClock } from "../../../src/platform/clock.ts";
import { realFiles } from "../../../src/platform/files.ts";
import { type BlockLine, editBlock } from "../../../src/hosts/block.ts";
import { HostsTransaction } from "../../../src/hosts/transaction.ts";
import { faultyFiles } from "./faulty_files.ts";
import { placeIn } from "./places.ts";

export interface EditJob {
  readonly folder: string;
  readonly uid: number;
  /** What the block shall say; null only finishes what a crash left. */
  readonly lines: readonly BlockLine[] | null;
  readonly keepInode?: boolean;
  /** SIGKILL before this step (from 1); a write counts twice, the second time half done. */
  readonly killAt?: number;
  readonly lockWaitMs?: number;
}

export interface EditOutcome {
  readonly steps: readonly string[];
  readonly changed?: boolean;
  readonly error?: { readonly message: string; readonly hint?: string };
}

if (import.meta.main) {
  const job: EditJob = JSON.parse(Deno.args[0]!);
  const steps: string[] = [];
  const files = faultyFiles(realFiles, {
    before(step) {
      steps.push(step.replaceAll(`${job.folder}/`, ""));
      if (steps.length === job.killAt) Deno.kill(Deno.pid, "SIGKILL");
    },
    partOf: (_step, length) => Math.floor(length / 2),
  });
  const transaction = new HostsTransaction(files, placeIn(job.folder), systemClock, {
    ...(job.keepInode === undefined ? {} : { keepInode: job.keepInode }),
    ...(job.lockWaitMs === undefined ? {} : { lockWaitMs: job.lockWaitMs }),
  });
  let outcome: EditOutcome;
  try {
    const { changed } = await transaction.run((file) =>
      job.lines === null ? undefined : editBlock(file, job.uid, job.lines)
    );
    outcome = { steps, changed };
  } catch (error) {
    const { message, hint } = error as { message: string; hint?: string };
    outcome = { steps, error: { message, ...(hint === undefined ? {} : { hint }) } };
  }
  console.log(JSON.stringify(outcome));
}
