import type { Schema } from "../../api/client";
import type { Status } from "../../api/status";

/** What this machine has; null is not known yet, or could not be found out. */
export type Have = {
  status: Status | null;
  sessions: number | null;
  datasets: number | null;
  runs: readonly Schema<"RunView">[] | null;
};

export type StepId = "hub" | "sessions" | "dataset" | "train" | "serve";
export type LoopStep = { id: StepId; label: string; state: "done" | "next" | "later" | "unknown" };

const over = ["succeeded", "failed", "canceled"];
export const isRunning = (run: Pick<Schema<"RunView">, "state">) => !over.includes(run.state);

/** The way from sessions to a student, and which step comes next. What is not known is neither done nor next. */
export function loop(have: Have): LoopStep[] {
  const account = have.status?.account.state;
  const trained = have.runs === null ? null : have.runs.some((run) => run.state === "succeeded");
  const facts: [StepId, string, boolean | null][] = [
    ["hub", "A Hub to work with", have.status ? account === "signed_in" : null],
    ["sessions", "Sessions of your agents", have.sessions === null ? null : have.sessions > 0],
    ["dataset", "A dataset", have.datasets === null ? null : have.datasets > 0],
    ["train", "A trained student", trained],
    // A Space is deployed from the student's page.
    ["serve", "Served and routed", false],
  ];
  // Who has come further has what came before, wherever it was.
  const reached = facts.findLastIndex(([, , done]) => done === true);
  let found = false;
  return facts.map(([id, label, done], at) => {
    if (done || at < reached) return { id, label, state: "done" };
    if (done === null) return { id, label, state: "unknown" };
    if (found) return { id, label, state: "later" };
    found = true;
    return { id, label, state: "next" };
  });
}

export type Demo = Schema<"DemoView">;
type Failed = { message?: string; hint?: string };

export type DemoState =
  | { is: "none" | "going" | "done" | "stopped" }
  | { is: "failed"; why: string; hint: string | undefined };

/** How a demo stands. A run whose task ended without success does not go on by itself. */
export function demoState({ run, task }: Demo): DemoState {
  if (!run) return { is: "none" };
  if (run.state === "succeeded") return { is: "done" };
  if (task && ["queued", "running"].includes(task.state)) return { is: "going" };
  if (run.state === "canceled" || task?.state === "canceled") return { is: "stopped" };
  const error = task?.error as Failed | null | undefined;
  return { is: "failed", why: error?.message ?? "It ended early, and does not say why.", hint: error?.hint };
}

const stageWords: Record<string, string> = {
  import: "Reading the sample sessions and taking secrets out",
  publish: "Putting the dataset on the embedded Hub",
  submit: "Sending a training job",
  train: "Training a student",
  verify: "Looking whether the student is on the Hub",
  sample: "Letting the student answer",
};

/** The stages of a demo in words, the one it is at, and how much of them is done. */
export function demoStages({ task }: Demo): { stages: string[]; at: number; share: number } {
  const ids = Object.keys(stageWords);
  const progress = task?.progress as { message?: string } | null | undefined;
  const at = Math.max(0, ids.indexOf(progress?.message ?? ""));
  return { stages: Object.values(stageWords), at, share: at / ids.length };
}
