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
