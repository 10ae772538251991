import type { Schema } from "../../api/client";
import type { Tone } from "../../ui/parts";

export type Step = Schema<"StepView">;
export type StepResult = Schema<"ResultView">;
export type Conversation = Schema<"ConversationView">;
export type Part = { part: string; value: number; weight: number; reason: string };
export type Tokens = { input: number; output: number; cache_creation: number; cache_read: number };

type Look = { label: string; tone: Tone; quiet: boolean };
const looks: Record<string, Look> = {
  prompt: { label: "You", tone: "info", quiet: false },
  delegated: { label: "Task of the subagent", tone: "info", quiet: false },
  command: { label: "Command", tone: "info", quiet: false },
  command_output: { label: "What the command printed", tone: "plain", quiet: true },
  interrupt: { label: "You interrupted", tone: "warn", quiet: false },
  injected: { label: "Put in by the agent's program", tone: "plain", quiet: true },
  compact_summary: { label: "Summary of what was before", tone: "plain", quiet: true },
  assistant: { label: "Agent", tone: "accent", quiet: false },
  synthetic: { label: "The agent's program", tone: "warn", quiet: false },
  tool_result: { label: "Result", tone: "plain", quiet: false },
};

/** How a step of a kind is shown; one that is new is shown by its word. */
export const lookOf = (kind: string): Look =>
  looks[kind] ?? { label: kind.replaceAll("_", " "), tone: "plain", quiet: false };

export type Shown = { step: Step; results: Map<string, StepResult>; tookMs: number | null };

/**
 * The steps as they are read: a result stands with the call it answers, where both are there. What a step took is the time
 * until the next one was written.
 */
export function shownSteps(steps: readonly Step[]): Shown[] {
  const caller = new Map<string, Shown>();
  const shown: Shown[] = [];
  let before: { one: Shown; at: number } | null = null;
  for (const step of steps) {
    const at = step.at ? Date.parse(step.at) : null;
    if (before && at !== null && at >= before.at) before.one.tookMs = at - before.at;
    const one: Shown = { step, results: new Map(), tookMs: null };
    if (at !== null) before = { one, at };
    const asked = step.result ? caller.get(step.result.call_id) : undefined;
    if (asked && step.result && !step.text.text) {
      asked.results.set(step.result.call_id, step.result);
      continue;
    }
    for (const call of step.calls) caller.set(call.id, one);
    shown.push(one);
  }
  return shown;
}

const parts: Record<string, string> = {
  tests: "Tests after the last edit",
  reply: "What you said next",
  commit: "A commit of the work",
  ending: "How the task ended",
  tools: "The last tool calls",
  label: "Your label",
  judge: "What a model said of it",
};
export const partName = (part: string) => parts[part] ?? part;

export const scoreTone = (value: number): Tone => (value >= 0.6 ? "good" : value >= 0.3 ? "plain" : "bad");

/** A call's arguments, spread over lines where they are JSON. */
export function spread(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

/** The arguments of a call in one line: the command, the file, or what else is its first text. */
export function gist(text: string): string {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null) return "";
    const fields = value as Record<string, unknown>;
    for (const key of ["command", "cmd", "file_path", "path", "pattern", "query", "url", "description"])
      if (typeof fields[key] === "string") return fields[key].split("\n", 1)[0] ?? "";
    const first = Object.values(fields).find((one) => typeof one === "string");
    return typeof first === "string" ? (first.split("\n", 1)[0] ?? "") : "";
  } catch {
    return "";
  }
}
