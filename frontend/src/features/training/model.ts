import type { Schema } from "../../api/client";

export type TrainRequest = Schema<"TrainRequest">;
type Told = { code: string; message: string; next: string | null };

/** `POST /api/training/plans`; its reference is `bashgym train plan --format json` in docs/cli.md. */
export type TrainPlan = {
  backend: string;
  base_model: {
    repo_id: string;
    revision: string | null;
    parameters: number | null;
    gated: boolean;
    readable: boolean;
  } | null;
  cheaper_flavors: { name: string; memory_bytes: number | null; micro_usd_per_minute: number | null }[];
  dataset: {
    repo_id: string;
    revision: string;
    rows_train: number;
    rows_val: number;
    rows_measured: number;
    rows_lost: number;
    lost_reasons: Record<string, number>;
    mean_tokens: number;
    cut_share: number;
    histogram: { up_to?: number; rows?: number }[];
    samples: { text?: string }[];
  } | null;
  files: { path: string; size_bytes?: number }[];
  fits: boolean | null;
  flavor: string | null;
  memory: {
    weights_bytes: number;
    gradients_bytes: number;
    optimizer_bytes: number;
    activations_bytes: number;
    overhead_bytes: number;
    total_bytes: number;
  } | null;
  model_repo: string;
  price_expected_usd: number | null;
  price_worst_usd: number | null;
  problems: Told[];
  warnings: Told[];
  request: { method: string; path: string; body: unknown } | null;
  seconds_expected: number | null;
  steps: number | null;
  timeout_seconds: number | null;
  tokens: number | null;
};

export const recipes = {
  sft: "Imitate good sessions (SFT)",
  dpo: "Prefer the better of two (DPO)",
  grpo: "Earn rewards (GRPO)",
  distillation: "Learn from a teacher (distillation)",
} as const;
export const methods = { lora: "LoRA, the cheapest", qlora: "QLoRA, least memory", full: "All weights" } as const;
export const presets = {
  tiny: "Tiny, seconds",
  small: "Small, a few minutes",
  base: "Base, the best of the three",
} as const;

const timeouts: [number, string][] = [
  [1_800, "30 minutes"],
  [3_600, "1 hour"],
  [7_200, "2 hours"],
  [14_400, "4 hours"],
  [28_800, "8 hours"],
  [86_400, "1 day"],
];
export const timeoutChoices = timeouts;

const number = (search: URLSearchParams, name: string) => {
  const value = Number(search.get(name));
  return Number.isFinite(value) && value > 0 ? value : null;
};

/** The form is the address: this is what it asks for. Null as long as no dataset is chosen. */
export function requestOf(search: URLSearchParams): TrainRequest | null {
  const dataset = search.get("dataset");
  if (!dataset) return null;
  const text = (name: string) => search.get(name) || null;
  const base = text("base");
  const common = {
    dataset,
    ...(text("output") ? { output: text("output") } : {}),
    ...(text("flavor") ? { flavor: text("flavor") } : {}),
    ...(number(search, "timeout") ? { timeout_seconds: number(search, "timeout") } : {}),
    ...(number(search, "steps") ? { max_steps: number(search, "steps") } : {}),
  };
  if (!base) return { ...common, ...(text("preset") ? { preset: text("preset") } : {}) };
  return {
    ...common,
    base_model: base,
    ...(text("recipe") ? { recipe: text("recipe") } : {}),
    ...(text("method") ? { method: text("method") } : {}),
    ...(number(search, "epochs") ? { epochs: number(search, "epochs") } : {}),
  };
}

/** Prices of hardware are told a minute; people think of hours. */
export const perHour = (microUsdPerMinute: number | null) =>
  microUsdPerMinute === null ? null : (microUsdPerMinute * 60) / 1e6;
