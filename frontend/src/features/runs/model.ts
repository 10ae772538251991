import type { Schema } from "../../api/client";
import type { Tone } from "../../ui/parts";

export type Run = Schema<"RunView">;

const words: Record<string, { label: string; tone: Tone }> = {
  queued: { label: "Reading sessions", tone: "info" },
  built: { label: "Dataset built", tone: "accent" },
  published: { label: "Dataset on the Hub", tone: "accent" },
  submitting: { label: "Sending the job", tone: "accent" },
  submitted: { label: "Training", tone: "accent" },
  unverified: { label: "Looking for the student", tone: "accent" },
  succeeded: { label: "Succeeded", tone: "good" },
  failed: { label: "Failed", tone: "bad" },
  canceled: { label: "Canceled", tone: "plain" },
};

/** How a run stands, in words; a word that is new is shown as it is. */
export const stateWords = (state: string) => words[state] ?? { label: state, tone: "warn" as const };

export const isOver = (state: string) => ["succeeded", "failed", "canceled"].includes(state);

type Told = { event?: string; stage?: string; status?: string; [more: string]: unknown };
export type StageState = "todo" | "now" | "done" | "bad";
export type Stage = { id: string; label: string; state: StageState; facts: [string, string | number][] };

const known: readonly [string, string][] = [
  ["import", "Sessions read"],
  ["publish", "Dataset on the Hub"],
  ["submit", "Job sent"],
  ["train", "Student trained"],
  ["verify", "Student verified"],
  ["sample", "Samples"],
];

/** What a stage tells, and its words; without words it is a length of time in seconds. */
const shown: Record<string, Record<string, string>> = {
  import: {
    files_done: "files",
    sessions: "sessions",
    rows_train: "rows to train on",
    rows_val: "rows held out",
    duplicates_removed: "duplicates left out",
    redactions: "values taken out",
  },
  submit: { flavor: "hardware" },
  train: { running_seconds: "" },
  verify: { files: "files" },
};

/** What became of each stage, of what a run told; the last word of a stage counts, as it may be taken up again. */
export function stagesOf(events: readonly Told[], state: string): Stage[] {
  const last = new Map<string, Told>();
  for (const told of events) if (told.event === "stage" && told.stage) last.set(told.stage, told);
  const names = [...known, ...[...last.keys()].filter((id) => !known.some(([one]) => one === id)).map(named)];
  return names.map(([id, label]) => {
    const told = last.get(id);
    const status = told?.status;
    const stage: StageState =
      status === undefined
        ? "todo"
        : status === "finished" || status === "skipped"
          ? "done"
          : status === "failed" || (isOver(state) && state !== "succeeded")
            ? "bad"
            : "now";
    const facts = Object.entries(shown[id] ?? {}).flatMap(([key, name]): [string, string | number][] => {
      const value = told?.[key];
      return typeof value === "number" || typeof value === "string" ? [[name, value]] : [];
    });
    return { id, label, state: stage, facts };
  });
}

const named = (id: string): [string, string] => [id, id];

type Dug = Record<string, unknown>;
const isObject = (value: unknown): value is Dug => typeof value === "object" && value !== null && !Array.isArray(value);

const dig = (value: unknown, key: string) => holder(value, key)?.[key];

/** The first object that has a value of that name, at any depth, the outermost first. */
function holder(value: unknown, key: string): Dug | undefined {
  let row = [value];
  while (row.length > 0) {
    const next: unknown[] = [];
    for (const one of row) {
      if (!isObject(one)) continue;
      if (key in one) return one;
      next.push(...Object.values(one));
    }
    row = next;
  }
  return undefined;
}

const textOf = (value: unknown) => (typeof value === "string" ? value : null);
const numberOf = (value: unknown) => (typeof value === "number" ? value : null);

/** What came of what, with the commit of each repository where it is known. */
export function lineageOf(run: Run) {
  const model = dig(run.detail, "model");
  // Whatever the state, what was published stands beside what was built.
  const dataset = holder(run.detail, "built");
  const spec = run.spec as Dug;
  const inputs = Array.isArray(spec["inputs"]) ? spec["inputs"].map(String) : [];
  return {
    inputs,
    sessions: numberOf(dig(run.detail, "sessions")),
    rows: numberOf(dig(run.detail, "rows_train")),
    dataset: run.dataset_repo,
    datasetRevision: textOf(dataset?.["revision"]),
    job: run.job_id,
    model: run.model_repo,
    modelRevision: isObject(model) ? textOf(model["revision"]) : null,
    lossBefore: isObject(model) ? numberOf(model["val_loss_before"]) : null,
    lossAfter: isObject(model) ? numberOf(model["val_loss_after"]) : null,
  };
}

/** Why a run failed, and at which stage, as it says itself. */
export function whyFailed(run: Run): { stage: string | null; reason: string } | null {
  if (run.state !== "failed") return null;
  const detail = run.detail as Dug;
  return { stage: textOf(detail["stage"]), reason: textOf(detail["reason"]) ?? "The run does not say why." };
}

/** What the student answered, of what a run told. */
export function samplesOf(events: readonly Told[]): { prompt: string; completion: string }[] {
  const last = events.findLast((told) => told.stage === "sample" && Array.isArray(told["completions"]));
  const list = (last?.["completions"] ?? []) as unknown[];
  return list.flatMap((one) =>
    isObject(one) ? [{ prompt: String(one["prompt"] ?? ""), completion: String(one["completion"] ?? "") }] : [],
  );
}
