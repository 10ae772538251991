import { screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test } from "vitest";
import { never, Refusal, showPage } from "../../testing/page";
import { lineageOf, type Run, samplesOf, stagesOf, stateWords, whyFailed } from "./model";
import RunDetail from "./pages/RunDetail";
import Runs from "./pages/Runs";

const run = {
  id: "01a20652",
  state: "succeeded",
  created_at: "2026-11-23T02:53:28Z",
  updated_at: "2026-11-23T02:53:35Z",
  dataset_repo: "me/sessions",
  model_repo: "me/student",
  job_id: "6b03",
  detail: {
    state: "succeeded",
    model: {
      repo_id: "me/student",
      revision: "c09ba9",
      val_loss_before: 5.7622,
      val_loss_after: 4.0131,
      job: { dataset: { revision: "f75c37", built: { rows_train: 87, sessions: 30 } } },
    },
  },
  spec: { inputs: ["/logs"] },
} as unknown as Run;
const events = [
  { event: "stage", stage: "import", status: "progress", files_done: 3 },
  { event: "stage", stage: "import", status: "finished", sessions: 30, rows_train: 87 },
  { event: "stage", stage: "publish", status: "finished" },
  { event: "stage", stage: "train", status: "started", running_seconds: 65 },
];
const told = { items: events.map((event, at) => ({ seq: at + 1, event })), next: null };
const one = (found: unknown, more: Record<string, unknown> = {}) =>
  showPage(RunDetail, {
    route: "/runs/*",
    at: "/runs/01a20652",
    answers: {
      "GET /api/runs/01a20652": found,
      "GET /api/runs/01a20652/events": told,
      "GET /api/usage/entries": { items: [], next: null },
      ...more,
    },
  });

test("the last word of a stage counts, and one that never ended did not end well", () => {
  const states = (state: string) => stagesOf(events, state).map((stage) => stage.state);
  expect(states("submitted")).toEqual(["done", "done", "todo", "now", "todo", "todo"]);
  expect(states("failed")).toEqual(["done", "done", "todo", "bad", "todo", "todo"]);
  expect(stagesOf([{ event: "stage", stage: "weigh", status: "started" }], "built").at(-1)).toMatchObject({
    label: "weigh",
    state: "now",
  });
  expect(stagesOf(events, "submitted")[0]?.facts).toContainEqual(["rows to train on", 87]);
});

test("what came of what is read out of each state, and what is not there yet is not made up", () => {
  expect(lineageOf(run)).toMatchObject({ sessions: 30, datasetRevision: "f75c37", modelRevision: "c09ba9" });
  const young = { ...run, state: "queued", detail: { state: "queued" }, spec: {}, job_id: null } as unknown as Run;
  expect(lineageOf(young)).toMatchObject({ sessions: null, datasetRevision: null, modelRevision: null, inputs: [] });
  const published = { state: "published", repo_id: "me/sessions", revision: "ab12", built: { rows_train: 5 } };
  const stopped = { ...run, state: "failed", detail: { state: "failed", resume_from: published } } as unknown as Run;
  expect(lineageOf(stopped)).toMatchObject({ rows: 5, datasetRevision: "ab12", modelRevision: null });
  expect(stateWords("dreaming")).toEqual({ label: "dreaming", tone: "warn" });
  expect(samplesOf([{ stage: "sample", completions: [{ prompt: "a", completion: "b" }] }])).toHaveLength(1);
});

test("runs are listed with what they gave", async () => {
  showPage(Runs, { route: "/runs", at: "/runs", answers: { "GET /api/runs": { items: [run], next: null } } });
  expect(screen.getByRole("status", { name: "Loading" })).toBeInTheDocument();
  expect(await screen.findByRole("link", { name: "me/student" })).toHaveAttribute("href", "/runs/01a20652");
  expect(screen.getByText("5.762 → 4.013")).toBeVisible();
});

test("without a run it is said how to make one; a refusal is told", async () => {
  showPage(Runs, { route: "/runs", at: "/runs", answers: { "GET /api/runs": { items: [], next: null } } });
  expect(await screen.findByRole("heading", { name: "No run yet" })).toBeVisible();
});

test("more runs are asked for from where the page ended", async () => {
  const { asked } = showPage(Runs, {
    route: "/runs",
    at: "/runs",
    answers: {
      "GET /api/runs": ({ search }: { search: URLSearchParams }) =>
        search.get("after")
          ? { items: [{ ...run, id: "older", model_repo: "me/older" }], next: null }
          : { items: [run], next: "01a20652" },
    },
  });
  await userEvent.setup().click(await screen.findByRole("button", { name: "Show more" }));
  expect(await screen.findByRole("link", { name: "me/older" })).toBeVisible();
  expect(asked.at(-1)?.search.get("after")).toBe("01a20652");
  expect(screen.queryByRole("button", { name: "Show more" })).not.toBeInTheDocument();
});

test("one run shows its stages, its repositories with their commits, and its job", async () => {
  one(run);
  expect(await screen.findByRole("heading", { name: "me/student", level: 1 })).toBeVisible();
  expect(await screen.findByText("87 rows to train on", { selector: "li span" })).toBeVisible();
  expect(screen.getByText("1 min 5 sec")).toBeVisible();
  expect(screen.getByText("f75c37")).toBeVisible();
  expect(screen.getByRole("link", { name: "6b03" })).toHaveAttribute("href", "/jobs/6b03");
  expect(await screen.findByText("nothing was set aside")).toBeVisible();
  expect(screen.queryByRole("button", { name: "Cancel run" })).not.toBeInTheDocument();
});

test("a price that nobody knows makes the sum a lower bound", async () => {
  const entry = {
    key: "a",
    service: "jobs",
    run_id: run.id,
    purpose: "x",
    state: "settled",
    reserved_at: "2026-11-23",
  };
  const items = [
    { ...entry, worst_micro_usd: 1, cost_micro_usd: 2_000_000 },
    { ...entry, key: "b", worst_micro_usd: null, cost_micro_usd: null },
  ];
  one(run, { "GET /api/usage/entries": { items, next: null } });
  expect(await screen.findByText("at least $2.00: a price is unknown")).toBeVisible();
});

test("a run that goes on is canceled when that is confirmed", async () => {
  const user = userEvent.setup();
  const going = { ...run, state: "submitted" };
  const { asked } = one(going, { "POST /api/runs/01a20652/cancel": { ...run, state: "canceled" } });
  await user.click(await screen.findByRole("button", { name: "Cancel run" }));
  expect(asked.some(({ method }) => method === "POST")).toBe(false);
  await user.click(within(screen.getByRole("dialog")).getByRole("button", { name: "Cancel the run" }));
  await waitFor(() => expect(asked.some(({ method }) => method === "POST")).toBe(true));
});

test("a run that failed says why in its own words", async () => {
  const failed = {
    ...run,
    state: "failed",
    detail: { state: "failed", stage: "submit", reason: "the Hub has no hardware" },
  };
  expect(whyFailed(failed as unknown as Run)?.reason).toBe("the Hub has no hardware");
  one(failed);
  expect(await screen.findByText("the Hub has no hardware")).toBeVisible();
});

test("a run that is not there is told so, and while it is asked for there is room", async () => {
  one(never);
  expect(screen.getByRole("status", { name: "Loading" })).toBeInTheDocument();
  one(new Refusal(404, "not_found", "there is no such run"));
  expect(await screen.findByText("There is no such run.")).toBeVisible();
});
