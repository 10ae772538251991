import { screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test } from "vitest";
import { never, Refusal, showPage } from "../../testing/page";
import {
  bucketLabel,
  costWords,
  curlOf,
  intervalWords,
  linesOf,
  seenWords,
  stateWords,
  strategyWords,
  type Sum,
} from "./model";
import RouterPage from "./pages/RouterPage";

const none: Sum = {
  calls: 0,
  answered: 0,
  escalated: 0,
  by_student: 0,
  named: 0,
  judged: 0,
  good: 0,
  cost_usd: 0,
  unknown_cost: 0,
};
const sum: Sum = { ...none, calls: 4, answered: 4, by_student: 1, judged: 2, good: 1, cost_usd: 0.5, escalated: 3 };
const view = {
  strategy: "confidence_based",
  quality: 0.8,
  explore: 0.05,
  keeps_exchanges: false,
  deadline_seconds: 600,
  backends: [
    {
      role: "student",
      model: "me/student",
      input_usd: 0,
      output_usd: 0,
      breaker: "open",
      retry_in_seconds: 12,
      share: null,
      calibration: null,
    },
  ],
  standings: [
    { model: "me/student", role: "student", bucket: null, mean: 0.5, low: 0.25, high: 0.75, good: 1, bad: 1 },
  ],
};
const report = {
  sum,
  step_seconds: 60,
  points: [],
  models: [
    {
      model: "big",
      role: "teacher",
      asked: 3,
      answered: 3,
      unsure: 0,
      failed: 0,
      judged: 2,
      good: 1,
      cost_usd: 0.5,
      unknown_cost: 0,
      p50_ms: 30,
    },
  ],
  strategies: {},
  kinds: {},
  whole: true,
};
const decision = {
  id: "d1",
  at: "2026-11-23T06:00:00Z",
  purpose: null,
  strategy: "confidence_based",
  kind: "chat",
  bucket: "chat/short",
  state: "escalated",
  answered_by: "big",
  role: "teacher",
  asked: 2,
  reason: "the student was not sure",
  explored: false,
  cost_usd: 0.25,
  cost_known: true,
  millis: 30,
  verdict: "none",
  verdict_source: null,
};
const record = {
  features: { messages: 1, prompt_bytes: 10, tools: 0 },
  propensity: 1,
  candidates: [
    {
      role: "teacher",
      model: "big",
      belief: { mean: 0.9, low: 0.78, verdicts: 0 },
      expected_nano_usd: null,
      left_out: "its breaker is open",
    },
  ],
  tries: [
    { role: "student", model: "me/student", end: "escalated", error: null, confidence: null, usage: null, millis: 6 },
  ],
};
const replaySum = {
  calls: 4,
  cost_usd: 1,
  unknown_cost: 0,
  quality: 0.9,
  quality_low: 0.8,
  judged: 2,
  escalated: 0,
  student: 0,
};

const show = (more: Record<string, unknown> = {}, search = "") =>
  showPage(RouterPage, {
    route: "/router",
    at: `/router${search}`,
    answers: {
      "GET /api/router": view,
      "GET /api/router/report": report,
      "GET /api/router/decisions": { items: [decision], next: null },
      "GET /api/router/decisions/d1": { decision, record, kept: false },
      ...more,
    },
  });

test("words: a new one is shown as it is, and what is not known is not nothing", () => {
  expect(strategyWords("by_luck").label).toBe("by_luck");
  expect(stateWords("lost")).toEqual({ label: "lost", tone: "warn" });
  expect(bucketLabel("tool_result/long")).toBe("After a tool, long");
  expect(costWords(0, false)).toBe("not known");
  expect(costWords(0.5, false)).toBe("$0.50 and more");
  expect(intervalWords({ mean: 0.5, low: 0.25, high: 0.75 })).toBe("50% (25% to 75%)");
});

test("a time in which nothing was judged has no quality", () => {
  const points = [
    { from: "2026-11-23T06:00:00Z", sum },
    { from: "2026-11-23T07:00:00Z", sum: { ...none, calls: 2 } },
  ];
  const lines = linesOf(points);
  expect(lines.calls.map((point) => point.value)).toEqual([4, 2]);
  expect(lines.quality).toEqual([{ at: Date.parse("2026-11-23T06:00:00Z"), value: 50 }]);
  expect(lines.student.map((point) => point.value)).toEqual([25]);
});

test("the call to copy reads the key from its file, and shows none", () => {
  const command = curlOf("http://127.0.0.1:1/v1", "/home/me/server.key", "bashgym/auto");
  expect(command).toContain('$(cat "/home/me/server.key")');
  expect(command).toContain('"model":"bashgym/auto"');
});

test("the strategy, its models and what calls came to are seen at once", async () => {
  show();
  expect(screen.getByRole("status", { name: "Loading" })).toBeInTheDocument();
  expect(await screen.findByText("By confidence")).toBeVisible();
  expect(screen.getByText("Left alone for 12 s")).toBeVisible();
  expect(screen.getByText("50% (25% to 75%)")).toBeVisible();
  expect(await screen.findByText("of 2 judged")).toBeVisible();
  expect(screen.getByRole("row", { name: /big/ })).toHaveTextContent("1 of 2");
});

test("without a model it is said how to set one up", async () => {
  show({
    "GET /api/router": { ...view, backends: [], standings: [] },
    "GET /api/router/report": { ...report, sum: none },
  });
  expect(await screen.findByText("bashgym/auto has no model to choose from yet")).toBeVisible();
  expect(screen.getByText(/Nobody has judged an answer yet/)).toBeVisible();
});

test("decisions are filtered by the address", async () => {
  const user = userEvent.setup();
  const { asked } = show({}, "?tab=decisions&state=escalated");
  expect(await screen.findByRole("button", { name: /explain decision d1/ })).toBeVisible();
  expect(asked.find(({ path }) => path === "/api/router/decisions")?.search.get("state")).toBe("escalated");
  await user.selectOptions(screen.getByLabelText("Every verdict"), "bad");
  expect(screen.getByTestId("where")).toHaveTextContent("verdict=bad");
  await waitFor(() => expect(asked.at(-1)?.search.get("verdict")).toBe("bad"));
});

test("a page of decisions may be empty and go on", async () => {
  const { asked } = show(
    {
      "GET /api/router/decisions": ({ search }: { search: URLSearchParams }) =>
        search.get("after") ? { items: [decision], next: null } : { items: [], next: "d9" },
    },
    "?tab=decisions&verdict=bad",
  );
  expect(await screen.findByText("None among the newest")).toBeVisible();
  await userEvent.setup().click(screen.getByRole("button", { name: "Look further back" }));
  expect(await screen.findByRole("button", { name: /explain decision d1/ })).toBeVisible();
  expect(asked.some(({ search }) => search.get("after") === "d9")).toBe(true);
});

test("a decision explains itself and takes a verdict", async () => {
  const user = userEvent.setup();
  const good = { decision: { ...decision, verdict: "good" }, record, kept: false };
  let now: unknown = { decision, record, kept: false };
  const { asked } = show(
    {
      "GET /api/router/decisions/d1": () => now,
      "PUT /api/router/decisions/d1/verdict": () => {
        now = good;
        return good;
      },
    },
    "?tab=decisions",
  );
  await user.click(await screen.findByRole("button", { name: /explain decision d1/ }));
  const dialog = screen.getByRole("dialog", { name: "One decision" });
  expect(await within(dialog).findByText("The student was not sure.")).toBeVisible();
  expect(within(dialog).getByText(/left out: its breaker is open/)).toBeVisible();
  expect(within(dialog).getByText("not sure enough")).toBeVisible();
  expect(screen.getByTestId("where")).toHaveTextContent("decision=d1");
  await user.click(within(dialog).getByRole("button", { name: "Right" }));
  await waitFor(() => expect(asked.find(({ method }) => method === "PUT")?.body).toEqual({ good: true }));
  expect(await within(dialog).findByRole("button", { name: "Right", pressed: true })).toBeVisible();
});

test("a replay says what a strategy would have cost, and which nobody could have answered", async () => {
  const seen = { verdicts: 40, quality: 0.9, low: 0.8, high: 0.95, is_thin: false };
  const replays = [
    { strategy: "teacher_only", quality: null, nobody: false, would: replaySum, seen, replay: {} },
    { strategy: "hf_inference", quality: null, nobody: true, would: { ...replaySum, cost_usd: 0 }, seen, replay: {} },
  ];
  const { asked } = show(
    { "GET /api/router/replay": { done: { ...replaySum, cost_usd: 2 }, named: 3, replays, whole: true } },
    "?tab=replay",
  );
  expect(await screen.findByRole("row", { name: /What was done/ })).toHaveTextContent("$2.00");
  expect(screen.getByRole("row", { name: /Teacher only/ })).toHaveTextContent("$1.00");
  expect(screen.getByRole("row", { name: /Teacher only/ })).toHaveTextContent("80% to 95%");
  expect(seenWords({ ...seen, is_thin: true })).toBe("80% to 95%, few verdicts");
  expect(seenWords({ ...seen, low: null, high: null })).toBe("no verdict");
  expect(screen.getByRole("row", { name: /Hugging Face only/ })).toHaveTextContent("No model played this part");
  expect(screen.getByText(/3 calls named their model/)).toBeVisible();
  await userEvent.setup().click(screen.getByRole("button", { name: "Replay" }));
  await waitFor(() => expect(asked.at(-1)?.search.get("strategies")).toContain("cost_optimized:0.8"));
});

test("a tool is pointed here without the key on the screen", async () => {
  show(
    {
      "GET /v1/models": { object: "list", data: [{ id: "bashgym/student" }, { id: "hf/a/b" }] },
      "GET /api/settings": [{ name: "home", value: "/home/me/.bashgym", source: "default" }],
    },
    "?tab=setup",
  );
  expect(await screen.findByText(/2 names can be asked for now/)).toBeVisible();
  expect(screen.getByLabelText("Model")).toHaveValue("bashgym/student");
  expect(screen.queryByText(/^cat /)).not.toBeInTheDocument();
  await userEvent.setup().click(screen.getByRole("button", { name: "Where is the key?" }));
  expect(screen.getByText('cat "/home/me/.bashgym/server.key"')).toBeVisible();
});

test("no command is shown before it is known where the key is", async () => {
  show(
    { "GET /v1/models": { object: "list", data: [{ id: "bashgym/student" }] }, "GET /api/settings": never },
    "?tab=setup",
  );
  expect(await screen.findByText(/1 name can be asked for now/)).toBeVisible();
  expect(screen.queryByRole("button", { name: /^Copy the command: curl/ })).not.toBeInTheDocument();
});

test("a router that cannot be read says why", async () => {
  show({ "GET /api/router": new Refusal(503, "storage", "the store failed"), "GET /api/router/report": never });
  expect(await screen.findByText("The store failed.")).toBeVisible();
});
