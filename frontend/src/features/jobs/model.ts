import type { Schema } from "../../api/client";
import type { Tone } from "../../ui/parts";

export type Job = Schema<"JobView">;
export const stages = ["SCHEDULING", "RUNNING", "COMPLETED", "CANCELED", "ERROR", "DELETED"] as const;
export type Stage = (typeof stages)[number];

const words: Record<Stage, { label: string; tone: Tone }> = {
  SCHEDULING: { label: "Waiting for hardware", tone: "info" },
  RUNNING: { label: "Running", tone: "accent" },
  COMPLETED: { label: "Completed", tone: "good" },
  CANCELED: { label: "Canceled", tone: "plain" },
  ERROR: { label: "Failed", tone: "bad" },
  DELETED: { label: "Deleted", tone: "plain" },
};

const isStage = (word: string): word is Stage => word in words;

/** A stage in words. One that is new at the Hub is shown as it is, and is not taken to be a failure. */
export const stageWords = (stage: string): { label: string; tone: Tone } =>
  isStage(stage) ? words[stage] : { label: stage, tone: "warn" };

export const jobCan = {
  cancel: (job: Pick<Job, "is_over">) => !job.is_over,
  runAgain: (job: Pick<Job, "is_over" | "stage">) => job.is_over && job.stage !== "COMPLETED",
};

/** What the Hub says of a job, as far as this page reads it. */
type HubJob = {
  command?: string[];
  dockerImage?: string;
  spaceId?: string;
  environment?: Record<string, string>;
  labels?: Record<string, string>;
  secrets?: string[];
  startedAt?: string;
  finishedAt?: string;
  timeout?: number;
  owner?: { name?: string };
};

export const hubOf = (job: Job): HubJob => job.hub as HubJob;

/** The run that a job was sent for, and which attempt at it this is. */
export function intentOf(job: Job): { run: string; attempt: number } | null {
  const labels = hubOf(job).labels ?? {};
  const intent = labels["bashgym-intent"];
  const run = labels["bashgym-run"];
  if (!run) return null;
  const attempt = Number(intent?.split(".").at(-1));
  return { run, attempt: Number.isInteger(attempt) && attempt > 0 ? attempt : 1 };
}

export type TrainConfig = {
  dataset_repo?: string;
  model_repo?: string;
  training?: {
    preset?: string;
    seed?: number;
    max_steps?: number | null;
    trl?: { base_model?: string; recipe?: string };
  };
};

/** What a training job was told to do; null for any other job. */
export function trainConfigOf(job: Job): TrainConfig | null {
  const text = hubOf(job).environment?.["BASHGYM_JOB_CONFIG"];
  if (!text) return null;
  try {
    return JSON.parse(text) as TrainConfig;
  } catch {
    return null;
  }
}

export type Step = { label: string; at: string | null; state: "done" | "now" | "todo" | "bad" };

/** A job's way: asked for, begun, over. */
export function timeline(job: Job): Step[] {
  const hub = hubOf(job);
  const began = hub.startedAt ?? null;
  const ended = hub.finishedAt ?? null;
  const steps: Step[] = [{ label: "Submitted", at: job.created_at, state: "done" }];
  steps.push({ label: "Started", at: began, state: began ? "done" : job.is_over ? "todo" : "now" });
  if (!job.is_over) {
    steps.push({ label: "Running", at: null, state: began ? "now" : "todo" });
    return steps;
  }
  steps.push({ label: stageWords(job.stage).label, at: ended, state: job.stage === "ERROR" ? "bad" : "done" });
  return steps;
}
