import type { Schema } from "../../api/client";
import type { Tone } from "../../ui/parts";
import { usdOf } from "../../lib/format";

export const services = ["all", "jobs", "inference", "spaces"] as const;
export const windows = ["day", "month", "run", "total"] as const;

const serviceNames: Record<string, string> = {
  all: "Everything",
  jobs: "Jobs",
  inference: "Model calls",
  spaces: "Spaces",
};
const windowNames: Record<string, string> = { day: "a day", month: "a month", run: "a run", total: "in all" };

export const serviceName = (service: string) => serviceNames[service] ?? service;
export const windowName = (window: string) => windowNames[window] ?? window;

/** Millionths of what was written, in either way to write a decimal; null if that is no amount. */
export function microOf(text: string): number | null {
  const plain = text.trim().replace(",", ".");
  if (!/^\d+(\.\d{1,6})?$/.test(plain)) return null;
  const micro = Math.round(Number(plain) * 1e6);
  return Number.isSafeInteger(micro) ? micro : null;
}

/** How much of a cap is gone, set aside included; null for a cap of each run, which has no sum. */
export function shareOf(cap: Schema<"CapView">): number | null {
  if (cap.left_micro_usd === null) return null;
  if (cap.cap_micro_usd === 0) return 1;
  return Math.min(1, Math.max(0, 1 - cap.left_micro_usd / cap.cap_micro_usd));
}

export const toneOf = (share: number): Tone => (share >= 1 ? "bad" : share >= 0.8 ? "warn" : "accent");

/** What an entry cost: settled, still open with the most it can be, or nothing. */
export function costOf(entry: { state: string; cost_micro_usd: number | null; worst_micro_usd: number | null }): {
  usd: number | null;
  note: string;
  tone: Tone;
} {
  switch (entry.state) {
    case "reserved":
      return { usd: usdOf(entry.worst_micro_usd), note: "set aside, at most", tone: "info" };
    case "released":
      return { usd: 0, note: "nothing was spent", tone: "plain" };
    case "settled":
      return { usd: usdOf(entry.cost_micro_usd), note: "spent", tone: "good" };
    default:
      return { usd: usdOf(entry.cost_micro_usd), note: entry.state, tone: "warn" };
  }
}
