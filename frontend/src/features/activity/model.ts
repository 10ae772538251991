import type { LiveEvent } from "../../api/live";
import { paths } from "../../lib/paths";
import type { Tone } from "../../ui/parts";

/** What is shown, and the topics it is of. Budget entries and spaces have topics of their own. */
export const kinds = [
  { id: "all", label: "Everything", topics: "run:*,job:*,launch:*,task:*,space:*,budget:*" },
  { id: "run", label: "Runs", topics: "run:*" },
  { id: "job", label: "Jobs", topics: "job:*,launch:*" },
  { id: "task", label: "Tasks", topics: "task:*" },
  { id: "space", label: "Spaces", topics: "space:*" },
  { id: "budget", label: "Budget", topics: "budget:*" },
] as const;

/** Whether an event only says that something goes on; a job's lines are read in its log. */
export const isNoise = (event: LiveEvent) =>
  /:(log|metrics|progress)$/.test(event.type) || event.data["status"] === "progress";

/** How many events the first page holds before the oldest of them are to be fetched again. */
export const KEEP = 500;

type Page = { events: LiveEvent[]; next: string | null };

/** The pages with an event that just came, which is of the first of them. */
export function withNew(pages: readonly Page[], event: LiveEvent): Page[] {
  const [first, ...rest] = pages;
  if (!first) return [];
  const events = gather([...first.events, event]);
  const last = events[KEEP - 1];
  // Only the end of what is shown may be cut off: it is fetched again when it is wanted.
  if (rest.length > 0 || events.length <= KEEP || !last) return [{ ...first, events }, ...rest];
  return [{ events: events.slice(0, KEEP), next: String(last.seq) }];
}

/** The events of all pages with a new one among them, each once, the latest first. */
export function gather(events: readonly LiveEvent[]): LiveEvent[] {
  const all = new Map(events.filter((event) => !isNoise(event)).map((event) => [event.seq, event]));
  return [...all.values()].sort((a, b) => b.seq - a.seq);
}

/** What an audit is filtered by: the kind of thing that was done. */
export const deeds = [
  { id: "all", label: "All that was done", topics: "audit:*" },
  { id: "spent", label: "Spent", topics: "audit:spent" },
  { id: "deleted", label: "Deleted", topics: "audit:deleted" },
  { id: "sent", label: "Sent to the Hub", topics: "audit:sent" },
  { id: "changed", label: "Changed", topics: "audit:changed" },
] as const;

const deedTones: Record<string, Tone> = { spent: "accent", deleted: "bad", sent: "info", changed: "plain" };
const deedWords: Record<string, string> = { spent: "spent", deleted: "deleted", sent: "sent", changed: "changed" };

/** What was done in an audit's event: its kind, its words, and to what. */
export function deedOf(event: LiveEvent): { did: string; tone: Tone; what: string; of: string } {
  const did = event.topic.split(":")[1] ?? "";
  const what = event.type.replace(/^audit:/, "").replaceAll("_", " ");
  return {
    did: deedWords[did] ?? did,
    tone: deedTones[did] ?? "plain",
    what: what.charAt(0).toUpperCase() + what.slice(1),
    of: typeof event.data["of"] === "string" ? event.data["of"] : "",
  };
}

const names: Record<string, string> = {
  "run:created": "A run was made",
  "run:started": "A run was begun",
  "run:state": "A run went on",
  "run:stage": "A stage of a run",
  "run:completed": "A run ended",
  "hf:job:state": "A job changed",
  "hf:job:created": "A job was sent",
  "hf:job:started": "A job runs",
  "hf:job:completed": "A job ended",
  "hf:job:settled": "A job's cost is known",
  "hf:job:succeeded": "A training succeeded",
  "hf:job:failed": "A job failed",
  "hf:job:canceled": "A job was canceled",
  "hf:job:canceling": "A job is being canceled",
  "hf:job:refused": "The Hub refused a job",
  "hf:job:drifted": "A job is not what it was sent as",
  "hf:job:finding": "Something was found in a log",
  "budget:reserved": "Money was set aside",
  "budget:settled": "Money was spent",
  "budget:released": "Money was given back",
  "task:queued": "A task waits",
  "task:running": "A task was begun",
  "task:done": "A task is done",
  "task:failed": "A task failed",
  "task:canceled": "A task was canceled",
  "task:canceling": "A task is being canceled",
};

/** An event in words; one that is new keeps its own word. */
export const eventName = (type: string) => names[type] ?? type;

export function toneOf(type: string): Tone {
  if (/:(failed|refused|drifted)$/.test(type)) return "bad";
  if (/:(succeeded|completed|done)$/.test(type)) return "good";
  if (/:(finding|canceled|canceling)$/.test(type)) return "warn";
  return "plain";
}

const told = ["stage", "status", "state", "kind", "flavor", "model_repo", "service", "purpose", "message"];

/** What an event says more than its name. */
export const detailOf = (event: LiveEvent) =>
  told.flatMap((key) => {
    const value = event.data[key];
    return typeof value === "string" ? [value.replaceAll("_", " ")] : [];
  });

/** The page of what an event is about. */
export function aboutOf(event: LiveEvent): { label: string; to: string } | null {
  const [noun, ...rest] = event.topic.split(":");
  const id = rest.join(":");
  if (noun === "run" && id) return { label: `run ${id.slice(0, 13)}`, to: paths.run(id) };
  if (noun === "job" && id) return { label: `job ${id}`, to: paths.job(id) };
  if (noun === "launch" && typeof event.data["run_id"] === "string") {
    const run = event.data["run_id"];
    return { label: `run ${run.slice(0, 13)}`, to: paths.run(run) };
  }
  return null;
}

const taskKinds: Record<string, string> = {
  dataset_build: "Build a dataset",
  space_deploy: "Deploy a Space",
  dataset_upload: "Send a dataset to the Hub",
  run: "Run from sessions to a student",
};
export const taskName = (kind: string) => taskKinds[kind] ?? kind.replaceAll("_", " ");

const taskTones: Record<string, Tone> = { done: "good", failed: "bad", running: "accent", queued: "info" };
export const taskTone = (state: string): Tone => taskTones[state] ?? "plain";
export const isGoing = (state: string) => state === "queued" || state === "running";
