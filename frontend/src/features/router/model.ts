import type { Schema } from "../../api/client";
import { number, percent, usd } from "../../lib/format";
import type { Tone } from "../../ui/parts";

export type Decision = Schema<"DecisionView">;
export type RouterView = Schema<"RouterView">;
export type Standing = Schema<"StandingView">;
export type Sum = Schema<"RouteSumView">;

export const strategies = {
  teacher_only: { label: "Teacher only", what: "Every call goes to the teacher." },
  student_only: { label: "Student only", what: "Every call goes to the student." },
  hf_inference: { label: "Hugging Face only", what: "Every call goes to a model at Hugging Face." },
  confidence_based: {
    label: "By confidence",
    what: "The student answers first; where it is not sure enough, the next model is asked.",
  },
  cost_optimized: {
    label: "By cost",
    what: "The cheapest way to an answer that is right often enough.",
  },
  progressive: {
    label: "Progressive",
    what: "The student gets a share of the calls that grows and shrinks with verdicts.",
  },
} as const;

const isStrategy = (word: string): word is keyof typeof strategies => word in strategies;

/** A strategy in words; a new one is shown by its word. */
export const strategyWords = (word: string): { label: string; what: string } =>
  isStrategy(word)
    ? strategies[word]
    : word === "named"
      ? { label: "Named by the caller", what: "The caller chose the model." }
      : { label: word, what: "" };

export const states = {
  answered: { label: "Answered", tone: "good" },
  escalated: { label: "Asked again", tone: "info" },
  failed: { label: "No answer", tone: "bad" },
} as const satisfies Record<string, { label: string; tone: Tone }>;

export const stateWords = (state: string): { label: string; tone: Tone } =>
  state in states ? states[state as keyof typeof states] : { label: state, tone: "warn" };

export const kinds = {
  chat: "Chat",
  tools: "With tools",
  tool_result: "After a tool",
  structured: "Structured",
} as const;

export const kindLabel = (kind: string) => (kind in kinds ? kinds[kind as keyof typeof kinds] : kind);

/** `tools/short` in words. */
export function bucketLabel(bucket: string): string {
  const [kind = "", length] = bucket.split("/");
  return length ? `${kindLabel(kind)}, ${length}` : kindLabel(kind);
}

export const verdicts = {
  good: { label: "Right", tone: "good" },
  bad: { label: "Wrong", tone: "bad" },
  none: { label: "Not judged", tone: "plain" },
} as const satisfies Record<string, { label: string; tone: Tone }>;

export const verdictWords = (verdict: string): { label: string; tone: Tone } =>
  verdict in verdicts ? verdicts[verdict as keyof typeof verdicts] : { label: verdict, tone: "plain" };

const roles: Record<string, string> = { student: "Student", hf: "Hugging Face", teacher: "Teacher" };
export const roleLabel = (role: string) => roles[role] ?? role;

/** A cost and whether it is all of it. */
export function costWords(cost: number, known: boolean): string {
  if (known) return usd(cost);
  return cost === 0 ? "not known" : `${usd(cost)} and more`;
}

/** What a sum of calls cost, and for how many nobody knows it. */
export const sumCost = (sum: { cost_usd: number; unknown_cost: number }) =>
  sum.unknown_cost === 0 ? usd(sum.cost_usd) : `${usd(sum.cost_usd)}, ${number(sum.unknown_cost)} not known`;

export const shareOf = (part: number, whole: number) => (whole === 0 ? "–" : percent(part / whole));

/** The share as an interval: `81 % (72 % to 88 %)`. */
export const intervalWords = (one: Pick<Standing, "mean" | "low" | "high">) =>
  `${percent(one.mean)} (${percent(one.low)} to ${percent(one.high)})`;

export const spans = [
  ["3600", "Last hour"],
  ["86400", "Last day"],
  ["604800", "Last week"],
  ["2592000", "Last 30 days"],
  ["", "All"],
] as const;

/** A line of the plot: for each stretch of time with calls, one value. */
export type TimePoint = { at: number; value: number };

/** Cost, quality and share over time; a stretch in which nothing was judged has no quality. */
export function linesOf(points: readonly { from: string; sum: Sum }[]) {
  const line = (value: (sum: Sum) => number | null): TimePoint[] =>
    points.flatMap(({ from, sum }) => {
      const found = value(sum);
      return found === null ? [] : [{ at: Date.parse(from), value: found }];
    });
  return {
    cost: line((sum) => sum.cost_usd),
    calls: line((sum) => sum.calls),
    quality: line((sum) => (sum.judged === 0 ? null : (100 * sum.good) / sum.judged)),
    student: line((sum) => (sum.answered === 0 ? null : (100 * sum.by_student) / sum.answered)),
    escalated: line((sum) => (sum.calls === 0 ? null : (100 * sum.escalated) / sum.calls)),
  };
}

/** What is kept of a decision, as far as this page reads it; its reference is `bashgym route explain --format json`. */
export type DecisionRecord = {
  features: { messages: number; prompt_bytes: number; tools: number };
  propensity: number;
  candidates: {
    role: string;
    model: string;
    belief: { mean: number; low: number; verdicts: number };
    expected_nano_usd: number | null;
    left_out: string | null;
  }[];
  tries: {
    role: string;
    model: string;
    end: string;
    error: string | null;
    confidence: { probability: number; calibrated: boolean } | null;
    usage: { prompt_tokens: number; completion_tokens: number } | null;
    millis: number;
  }[];
};

const ends: Record<string, string> = {
  answered: "answered",
  escalated: "not sure enough",
  failed: "failed",
  refused: "refused by the budget",
  broke_off: "broke off",
  dropped: "the caller left",
};
export const endLabel = (end: string) => ends[end] ?? end.replaceAll("_", " ");

/** A call that works as it stands on this machine: the key is read by the shell, and is on no screen. */
export function curlOf(base: string, keyFile: string | null, model: string): string {
  const file = `"${keyFile ?? "$BASHGYM_HOME/server.key"}"`;
  const body = JSON.stringify({ model, messages: [{ role: "user", content: "Say hello." }] });
  return `curl ${base}/chat/completions -H "Authorization: Bearer $(cat ${file})" -H "Content-Type: application/json" -d '${body}'`;
}

/** What verdicts alone say of a strategy. */
export function seenWords(seen: Schema<"SeenView">): string {
  if (seen.low === null || seen.high === null) return "no verdict";
  const range = `${percent(seen.low)} to ${percent(seen.high)}`;
  return seen.is_thin ? `${range}, few verdicts` : range;
}
