import { screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test } from "vitest";
import { Refusal, showPage } from "../../testing/page";
import { search as changed, offsetOf, shownOf, spread, turnsOf } from "./model";
import Dataset from "./pages/Dataset";
import DatasetBrowser from "./pages/DatasetBrowser";

const row = {
  messages: [
    { role: "user", content: "mend it" },
    {
      role: "assistant",
      content: "",
      tool_calls: [{ id: "a", function: { name: "Bash", arguments: '{"command":"ls"}' } }],
    },
    { role: "tool", name: "Bash", content: "store.py" },
  ],
  metadata: { agent: "codex", score: 0.78 },
  tools: "[]",
};
const built = (name: string) => ({
  name,
  sessions: 30,
  rows_train: 87,
  rows_val: 8,
  built_at: "2026-11-23T02:55:02Z",
  rows_of_session: null,
});
const one = (name: string, answers: Record<string, unknown>, search = "") =>
  showPage(Dataset, { route: "/datasets/*", at: `/datasets/${name}${search}`, answers });
const splits = [
  { config: "default", split: "train" },
  { config: "default", split: "validation" },
];
const ready = { state: "ready", why: null, total: 87, splits, rows: [{ index: 0, row }] };

test("a row is read as a conversation with its calls; what is no message stays to be seen", () => {
  const shown = shownOf(row);
  expect(shown.talks[0]?.turns.map((turn) => turn.role)).toEqual(["user", "assistant", "tool"]);
  expect(shown.talks[0]?.turns[1]?.calls).toEqual([{ id: "a", name: "Bash", input: '{\n  "command": "ls"\n}' }]);
  expect(shown.about).toEqual([
    ["agent", "codex"],
    ["score", "0.78"],
  ]);
  expect(shown.rest).toContain("tools");
  expect(shownOf({ text: "plain" })).toMatchObject({ talks: [], rest: expect.stringContaining("plain") });
  expect(shownOf(null).rest).toBe("null");
  expect(spread("{cut")).toBe("{cut");
  expect(turnsOf([{ role: "user", content: [{ type: "text", text: "a" }, { type: "image" }] }, 7])).toHaveLength(1);
  expect(shownOf({ chosen: row.messages, rejected: row.messages }).talks.map((talk) => talk.name)).toEqual([
    "chosen",
    "rejected",
  ]);
});

test("an address says where a page of rows begins, and what is empty goes from it", () => {
  expect([offsetOf("20"), offsetOf("-3"), offsetOf("x"), offsetOf(null)]).toEqual([20, 0, 0, 0]);
  expect(changed(new URLSearchParams("a=1&b=2"), { a: "", c: "3" }).toString()).toBe("b=2&c=3");
});

test("datasets are listed with who reads them", async () => {
  showPage(DatasetBrowser, {
    route: "/datasets",
    at: "/datasets",
    answers: {
      "GET /api/hf/datasets": {
        items: [{ repo_id: "me/open", private: false, last_modified: null }],
        next: null,
      },
      "GET /api/datasets": { items: [built("mine")], next: null },
    },
  });
  expect(screen.getAllByRole("status", { name: "Loading" })).toHaveLength(2);
  expect(await screen.findByRole("row", { name: /me\/open everybody/ })).toBeVisible();
  expect(await screen.findByRole("link", { name: "mine" })).toHaveAttribute("href", "/datasets/mine");
});

test("without a Hub what was built here is still there, and the refusal says what to do", async () => {
  showPage(DatasetBrowser, {
    route: "/datasets",
    at: "/datasets",
    answers: {
      "GET /api/hf/datasets": new Refusal(503, "hub", "the Hub does not answer", ["run `bashgym hub start`"]),
      "GET /api/datasets": { items: [], next: null },
    },
  });
  expect(await screen.findByText("bashgym hub start")).toBeVisible();
  expect(await screen.findByText(/No dataset was built on this machine/)).toBeVisible();
});

test("rows are paged and split by the address", async () => {
  const user = userEvent.setup();
  const { asked } = one("me/set", { "GET /api/hf/datasets/me/set/rows": ready }, "?split=validation&after=10");
  expect(await screen.findByText("Rows 11 to 11 of 87")).toBeVisible();
  expect(screen.getByText("mend it")).toBeVisible();
  const rows = () => asked.filter(({ path }) => path.endsWith("/rows"));
  expect(Object.fromEntries(rows()[0]?.search ?? [])).toEqual({ split: "validation", offset: "10", limit: "10" });
  await user.click(screen.getByRole("tab", { name: "To train on" }));
  await waitFor(() => expect(rows().at(-1)?.search.get("offset")).toBe("0"));
  expect(screen.getByTestId("where")).toHaveTextContent(/^\/datasets\/me\/set$/);
  expect(screen.queryByRole("link", { name: /Data Studio/ })).not.toBeInTheDocument();
});

test("what was built here shows its rows before it is sent, those of one session alone, and its card", async () => {
  const user = userEvent.setup();
  const { asked } = one(
    "mine",
    {
      "GET /api/datasets/mine/findings": { findings: [] },
      "GET /api/datasets/mine/rows": {
        total: 2,
        rows: [
          { index: 4, row },
          { index: 9, row: null },
        ],
      },
      "GET /api/datasets/mine/card": { text: "---\nlicense: mit\n---\n# What it holds\n\n<b>rows</b>" },
    },
    "?session=s-1",
  );
  expect(await screen.findByText("Rows 1 to 2 of 2")).toBeVisible();
  expect(screen.getByText("mend it")).toBeVisible();
  const rows = () => asked.filter(({ path }) => path.endsWith("/rows"));
  expect(rows()[0]?.search.get("session")).toBe("s-1");
  await user.click(screen.getByRole("button", { name: "All rows" }));
  await waitFor(() => expect(rows().at(-1)?.search.has("session")).toBe(false));
  await user.click(screen.getByRole("tab", { name: "Card" }));
  expect(await screen.findByRole("heading", { name: "What it holds" })).toBeVisible();
  expect(screen.getByText("<b>rows</b>")).toBeVisible();
  expect(screen.getByTestId("where")).toHaveTextContent("/datasets/mine?split=card");
});

test("an upload that goes on is found again by the address, and can be stopped", async () => {
  const user = userEvent.setup();
  const task = { id: "t1", kind: "dataset_upload", progress: { done: 5, total: 10, unit: "bytes" } };
  const { asked } = one(
    "mine",
    {
      "GET /api/datasets/mine/findings": { findings: [] },
      "GET /api/tasks/t1": { ...task, state: "running" },
      "DELETE /api/tasks/t1": { ...task, state: "canceled" },
    },
    "?task=t1",
  );
  expect(await screen.findByText(/Sending: 5 byte of 10 byte/)).toBeVisible();
  await user.click(screen.getByRole("button", { name: "Stop" }));
  await waitFor(() => expect(asked.some(({ method }) => method === "DELETE")).toBe(true));
});

test("rows that the viewer has not read, or does not show, are told so", async () => {
  one("me/new", {
    "GET /api/hf/datasets/me/new/rows": { state: "pending", why: null, total: null, splits: [], rows: [] },
  });
  expect(await screen.findByText("The viewer has not read this dataset yet")).toBeVisible();
  one("me/old", {
    "GET /api/hf/datasets/me/old/rows": {
      state: "unavailable",
      why: "no such split",
      total: null,
      splits: [],
      rows: [],
    },
  });
  expect(await screen.findByText("no such split")).toBeVisible();
});

test("a dataset is deleted when its name was written, with the name in the header", async () => {
  const user = userEvent.setup();
  const { asked } = one("me/set", {
    "GET /api/hf/datasets/me/set/rows": ready,
    "DELETE /api/hf/datasets/me/set": undefined,
  });
  await user.click(screen.getByRole("button", { name: "Delete" }));
  const dialog = screen.getByRole("dialog", { name: "Delete this dataset?" });
  expect(within(dialog).getByRole("button", { name: "Delete for good" })).toBeDisabled();
  await user.type(within(dialog).getByRole("textbox"), "me/set");
  await user.click(within(dialog).getByRole("button", { name: "Delete for good" }));
  await waitFor(() => expect(screen.getByTestId("where")).toHaveTextContent("/datasets"));
  expect(asked.find(({ method }) => method === "DELETE")?.headers.get("x-confirm")).toBe("me/set");
});

const finding = {
  id: "f1",
  kind: "github_token",
  file: "train.jsonl",
  line: 3,
  length: 40,
  context: "token = ****",
  places: 2,
};

test("a finding is let through only when that is confirmed, and refused at once", async () => {
  const user = userEvent.setup();
  const { asked } = one("mine", {
    "GET /api/datasets/mine/findings": { findings: [finding] },
    "PUT /api/datasets/mine/findings/f1": undefined,
  });
  const puts = () => asked.filter(({ method }) => method === "PUT").map(({ body }) => body);
  await user.click(await screen.findByRole("button", { name: "It is no secret" }));
  expect(puts()).toEqual([]);
  await user.click(within(screen.getByRole("dialog")).getByRole("button", { name: "Let it through" }));
  await waitFor(() => expect(puts()).toEqual([{ allow: true }]));
  await user.click(screen.getByRole("button", { name: "Never let it through" }));
  await waitFor(() => expect(puts()).toEqual([{ allow: true }, { allow: false }]));
});

test("a dataset is sent as a task with a key of its own; for everybody only when that is confirmed", async () => {
  const user = userEvent.setup();
  const { asked } = one("mine", {
    "GET /api/datasets/mine/findings": { findings: [] },
    "POST /api/hf/datasets": { id: "t1", kind: "dataset_upload", state: "queued", progress: null },
    "GET /api/tasks/t1": { id: "t1", state: "failed", error: { message: "the gate refused it", hint: "look above" } },
  });
  await user.click(screen.getByRole("checkbox"));
  await user.click(screen.getByRole("button", { name: "Send to the Hub" }));
  expect(asked.some(({ method }) => method === "POST")).toBe(false);
  await user.click(within(screen.getByRole("dialog")).getByRole("button", { name: "Send it for everybody" }));
  expect(await screen.findByText("the gate refused it")).toBeVisible();
  const post = asked.find(({ method }) => method === "POST");
  expect(post?.body).toEqual({ name: "mine", repo: "mine", public: true });
  expect(post?.headers.get("idempotency-key")).toMatch(/^[0-9a-f-]{36}$/);
});
