import type { Schema } from "../../api/client";

type Task = Schema<"TaskView">;
type Fields = Record<string, unknown>;
const isObject = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const agents: Record<string, string> = {
  claude_code: "Claude Code",
  codex: "Codex",
  gemini_cli: "Gemini CLI",
  copilot_cli: "Copilot CLI",
  opencode: "OpenCode",
};

/** An agent's name; one that is new is shown by its word. */
export const agentName = (agent: string | null) => (agent === null ? "not told" : (agents[agent] ?? agent));

/** The end of a path, which tells most, and what stands before it. */
export function cutPath(file: string): { folder: string; name: string } {
  const at = file.lastIndexOf("/");
  return { folder: file.slice(0, at + 1), name: file.slice(at + 1) };
}

/** How many of each agent, the most first. */
export function byAgent(sessions: readonly { agent: string | null }[]): [string, number][] {
  const counts = new Map<string, number>();
  for (const { agent } of sessions) counts.set(agentName(agent), (counts.get(agentName(agent)) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1]);
}

export type Quality = {
  name: string;
  rows: number;
  scores: { score: string; rows: number }[];
  losses: { what: string; count: number }[];
  redactions: { kind: string; count: number }[];
  problems: { file: string; line: number | null; reason: string }[];
};

const spaced = (word: string) => word.replaceAll("_", " ");

function counts(value: unknown): [string, number][] {
  if (!isObject(value)) return [];
  return Object.entries(value).filter((entry): entry is [string, number] => typeof entry[1] === "number");
}

/** What the latest build found in the sessions; null if none was made. */
export function qualityOf(tasks: readonly Task[]): Quality | null {
  const built = tasks.find((task) => task.kind === "dataset_build" && task.state === "done");
  const result: unknown = built?.result;
  if (!isObject(result) || !isObject(result["manifest"])) return null;
  const manifest = result["manifest"];
  const listed = Array.isArray(manifest["problems_listed"]) ? manifest["problems_listed"] : [];
  const most = (list: [string, number][]) => list.filter(([, count]) => count > 0).sort((a, b) => b[1] - a[1]);
  return {
    name: String(result["name"] ?? ""),
    rows: Number(result["rows_train"] ?? 0) + Number(result["rows_val"] ?? 0),
    scores: counts(manifest["scores"])
      .sort((a, b) => Number(a[0]) - Number(b[0]))
      .map(([score, rows]) => ({ score, rows })),
    losses: most(counts(manifest["losses"])).map(([what, count]) => ({ what: spaced(what), count })),
    redactions: most(counts(manifest["redactions_by_kind"])).map(([kind, count]) => ({ kind: spaced(kind), count })),
    problems: listed.filter(isObject).map((one) => ({
      file: String(one["file"] ?? ""),
      line: typeof one["line"] === "number" ? one["line"] : null,
      reason: String(one["reason"] ?? "it does not say why"),
    })),
  };
}

/** Whether the server takes this as a dataset's name. */
export const isName = (name: string) => /^[A-Za-z0-9_][A-Za-z0-9._-]{0,95}$/.test(name);
