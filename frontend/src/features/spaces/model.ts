import type { Schema } from "../../api/client";
import type { Capability } from "../../api/status";
import { duration, usd } from "../../lib/format";
import type { Tone } from "../../ui/parts";

export type Space = Schema<"SpaceStatus">;
export type Hardware = Schema<"SpaceHardwareView">;
export type Quota = {
  base_seconds: number;
  left_seconds: number;
  resets_at: string | null;
  over_quota_seconds: number;
};

const stages = {
  NO_APP_FILE: { label: "No app", tone: "bad" },
  CONFIG_ERROR: { label: "Wrong settings", tone: "bad" },
  BUILDING: { label: "Building", tone: "info" },
  BUILD_ERROR: { label: "Build failed", tone: "bad" },
  APP_STARTING: { label: "Starting", tone: "info" },
  RUNNING: { label: "Running", tone: "good" },
  RUNNING_BUILDING: { label: "Running, building the next", tone: "accent" },
  RUNNING_APP_STARTING: { label: "Running, starting the next", tone: "accent" },
  RUNTIME_ERROR: { label: "App failed", tone: "bad" },
  DELETING: { label: "Being deleted", tone: "plain" },
  STOPPED: { label: "Stopped", tone: "plain" },
  PAUSED: { label: "Paused", tone: "plain" },
  SLEEPING: { label: "Asleep", tone: "plain" },
} as const satisfies Record<string, { label: string; tone: Tone }>;

const isStage = (word: string): word is keyof typeof stages => word in stages;

/** A stage in words. One that is new at the Hub is shown as it is, and is not taken to be a failure. */
export const stageWords = (stage: string | null): { label: string; tone: Tone } =>
  stage === null
    ? { label: "Not known", tone: "plain" }
    : isStage(stage)
      ? stages[stage]
      : { label: stage, tone: "warn" };

const stopped = ["PAUSED", "STOPPED", "SLEEPING"];
const broken = ["NO_APP_FILE", "CONFIG_ERROR", "BUILD_ERROR", "RUNTIME_ERROR"];

export const spaceCan = {
  pause: (space: Pick<Space, "stage">) => !stopped.slice(0, 2).includes(space.stage) && space.stage !== "DELETING",
  restart: (space: Pick<Space, "stage">) => space.stage !== "DELETING",
  answer: (space: Pick<Space, "stage" | "is_serving">) => space.is_serving || space.stage === "SLEEPING",
  goBack: (space: Pick<Space, "previous">) => space.previous !== null,
};

export const isBroken = (stage: string) => broken.includes(stage);

export type Step = { label: string; state: "done" | "now" | "todo" | "bad" };

/** The way of an app from its files to an answer, and where this one is on it. */
export function way(stage: string): Step[] {
  const labels = ["Files", "Build", "Start", "Answers"];
  const bad = { NO_APP_FILE: 0, CONFIG_ERROR: 0, BUILD_ERROR: 1, RUNTIME_ERROR: 2 }[stage];
  const now = { BUILDING: 1, RUNNING_BUILDING: 1, APP_STARTING: 2, RUNNING_APP_STARTING: 2 }[stage];
  const at = bad ?? now ?? (stage === "RUNNING" ? labels.length : stopped.includes(stage) ? 2 : 0);
  return labels.map((label, place) => ({
    label,
    state: place < at ? "done" : place > at ? "todo" : bad !== undefined ? "bad" : now !== undefined ? "now" : "todo",
  }));
}

/** Which log tells more just now. */
export const tellingLog = (stage: string): "build" | "run" =>
  ["BUILDING", "RUNNING_BUILDING", "BUILD_ERROR", "CONFIG_ERROR", "NO_APP_FILE"].includes(stage) ? "build" : "run";

/** Hardware that costs nothing to have: the same two names the server knows. */
export const isFree = (name: string) => ["zero-gpu", "zero-a10g", "cpu-basic"].includes(name);
export const isZero = (name: string) => name === "zero-gpu" || name === "zero-a10g";
/** Hardware without a graphics processor, by its name. */
export const isProcessor = (name: string) => name.startsWith("cpu-");

/** What hardware costs, in words; unknown is not free. */
export function priceOf(hardware: Hardware): string {
  if (hardware.micro_usd_per_minute === null) return isFree(hardware.name) ? "no charge" : "price not known";
  if (hardware.micro_usd_per_minute === 0) return "no charge";
  return `${usd((hardware.micro_usd_per_minute * 60) / 1e6)} an hour`;
}

/** The capability that a piece of hardware needs. */
export const needs = (hardware: string): Capability["feature"] =>
  isZero(hardware) ? "zero_gpu_spaces" : isFree(hardware) ? "cpu_spaces" : "paid_space_hardware";

export const sleepChoices: [number, string][] = [
  [900, "15 minutes without a visitor"],
  [3_600, "1 hour without a visitor"],
  [14_400, "4 hours without a visitor"],
  [86_400, "1 day without a visitor"],
  [0, "Never: it is billed day and night"],
];

export const quotaWords = (quota: Quota) =>
  `${duration(quota.left_seconds)} of ${duration(quota.base_seconds)} are left`;

/** What answers in a Space of ours, by the word of its `space.json`. */
export const appWords: Record<string, string> = {
  gradio: "Gradio, with Python",
  bashgym: "bashgym itself, in a container",
};

/** A name for a Space of a model: its own, without what the Hub does not take. */
export const nameFor = (model: string) =>
  (model.split("/").at(-1) ?? "")
    .replace(/[^A-Za-z0-9._-]+/g, "-")
    .replace(/^[-.]+|[-.]+$/g, "")
    .slice(0, 80);

/** What a deployment told of itself: a message, and the log's telling lines. */
export function failureParts(message: string): { message: string; log: string[] } {
  const [first = "", ...rest] = message.split("\nlog: ");
  return { message: first, log: rest };
}

type Limits = { max_gpu_seconds: number; ms_per_token: number };

/** What came of fitting limits. */
export type Fitted = {
  changed: boolean;
  measured: { requests: number; ms_per_token: number };
  before: Limits;
  limits: Limits;
};

export type Deployed = {
  space_id: string;
  model_repo: string;
  model_revision: string;
  smoke: { state?: string; text?: string; seconds?: number; why?: string } | null;
};
