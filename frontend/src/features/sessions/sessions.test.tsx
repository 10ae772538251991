import { screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test } from "vitest";
import { Refusal, showPage } from "../../testing/page";
import { agentName, byAgent, cutPath, isName, qualityOf } from "./model";
import Session from "./pages/Session";
import Sessions from "./pages/Sessions";
import { gist, type Step, shownSteps } from "./steps";

const session = {
  agent: "claude_code",
  file: "/home/me/.claude/projects/a/05be.jsonl",
  size_bytes: 25_771,
  started_at: "2026-03-17T11:22:40Z",
  session_id: null,
  held: null,
};
const built = {
  id: "t0",
  kind: "dataset_build",
  state: "done",
  result: {
    name: "demo",
    sessions: 30,
    rows_train: 87,
    rows_val: 8,
    manifest: {
      scores: { "0.7": 57, "0.5": 4 },
      losses: { tasks_rewound: 3, texts_cut: 0 },
      redactions_by_kind: { hf_token: 9 },
      problems_listed: [{ file: "/a/b.jsonl", line: 37, reason: "not valid JSON" }],
    },
  },
};
const show = (answers: Record<string, unknown>, at = "/sessions") =>
  showPage(Sessions, {
    route: "/sessions",
    at,
    answers: {
      "GET /api/sessions": { items: [session], next: null },
      "GET /api/tasks": { items: [], next: null },
      ...answers,
    },
  });

test("agents have names, a new one keeps its word, and a file may not tell", () => {
  expect([agentName("codex"), agentName("newcomer"), agentName(null)]).toEqual(["Codex", "newcomer", "not told"]);
  expect(byAgent([{ agent: "codex" }, { agent: null }, { agent: "codex" }])).toEqual([
    ["Codex", 2],
    ["not told", 1],
  ]);
  expect(cutPath("/a/b.jsonl")).toEqual({ folder: "/a/", name: "b.jsonl" });
  expect([isName("my.set-1"), isName("-x"), isName("a b"), isName("a/b"), isName("")]).toEqual([
    true,
    false,
    false,
    false,
    false,
  ]);
});

test("quality is that of the last build that ended well", () => {
  const quality = qualityOf([{ ...built, state: "failed", result: null }, built] as never);
  expect(quality?.scores.map((one) => one.score)).toEqual(["0.5", "0.7"]);
  expect(quality?.losses).toEqual([{ what: "tasks rewound", count: 3 }]);
  expect(qualityOf([])).toBeNull();
});

test("sessions are listed; a folder is looked into by the address", async () => {
  const user = userEvent.setup();
  const { asked } = show({ "GET /api/tasks": { items: [built], next: null } });
  expect(await screen.findByText("05be.jsonl")).toBeVisible();
  expect(screen.getByText("Claude Code: 1")).toBeVisible();
  expect(await screen.findByText("hf token")).toBeVisible();
  expect(screen.getByText(/1 line that did not read/)).toBeVisible();
  await user.type(screen.getByLabelText("Only this folder"), "/logs");
  await user.click(screen.getByRole("button", { name: "Look there" }));
  await waitFor(() => expect(asked.at(-1)?.search.get("path")).toBe("/logs"));
  expect(screen.getByTestId("where")).toHaveTextContent("/sessions?path=%2Flogs");
});

test("without sessions, and where a folder may not be read, it is said what to do", async () => {
  show({ "GET /api/sessions": { items: [], next: null } });
  expect(await screen.findByRole("heading", { name: "No session on this machine" })).toBeVisible();
  expect(await screen.findByText("It is known when a dataset was built here.")).toBeVisible();
  show(
    { "GET /api/sessions": new Refusal(403, "path_not_allowed", "the path is not allowed", ["use `--root DIR`"]) },
    "/sessions?path=/etc",
  );
  expect(await screen.findByText("The path is not allowed.")).toBeVisible();
});

test("a dataset is built of the folder that is shown, followed, and a wrong name is not sent", async () => {
  const user = userEvent.setup();
  let isBuilt = false;
  const { asked } = show(
    {
      "GET /api/tasks": () => ({ items: isBuilt ? [built] : [], next: null }),
      "POST /api/datasets": { id: "t1", kind: "dataset_build", state: "queued" },
      "GET /api/tasks/t1": () => {
        isBuilt = true;
        return { ...built, id: "t1" };
      },
    },
    "/sessions?path=/logs",
  );
  const name = screen.getByLabelText("Name");
  await user.clear(name);
  await user.type(name, "a b");
  expect(screen.getByRole("button", { name: "Build" })).toBeDisabled();
  await user.clear(name);
  await user.type(name, "demo");
  await user.click(screen.getByRole("button", { name: "Build" }));
  expect(await screen.findByText("87 rows of 30 sessions")).toBeVisible();
  // The quality of what was built is there without an event.
  expect(await screen.findByRole("heading", { name: "Left out" })).toBeVisible();
  const post = asked.find(({ method }) => method === "POST");
  expect(post?.body).toEqual({ name: "demo", paths: ["/logs"] });
  expect(post?.headers.get("idempotency-key")).toBeTruthy();
});

test("an import is followed, and the list tells what each session holds", async () => {
  const user = userEvent.setup();
  let isRead = false;
  const held = { id: "05be", model: "m", prompts: 12, tool_calls: 340, tool_errors: 7, tokens_in: 1, tokens_out: 2 };
  const result = {
    sessions: 3,
    prompts: 31,
    tool_calls: 402,
    bytes: 2_500_000,
    problems: 21,
    problems_listed: [{ file: "/a/b.jsonl", line: 37, reason: "not valid JSON" }],
  };
  const { asked } = show({
    "GET /api/sessions": () => ({ items: [{ ...session, held: isRead ? held : null }], next: null }),
    "POST /api/sessions/import": { id: "t2", kind: "session_import", state: "queued" },
    "GET /api/tasks/t2": () => {
      isRead = true;
      return { ...built, id: "t2", kind: "session_import", result };
    },
  });
  await user.click(await screen.findByRole("button", { name: "Import" }));
  expect(await screen.findByText("3 sessions imported")).toBeVisible();
  expect(screen.getByText(/31 prompts, 402 calls of tools/)).toBeVisible();
  expect(screen.getByText("and 20 more")).toBeInTheDocument();
  expect(await screen.findByText("7 failed")).toBeVisible();
  const post = asked.find(({ method }) => method === "POST");
  expect(post?.body).toEqual({});
  expect(screen.getByTestId("where")).toHaveTextContent("/sessions?import=t2");
});

test("the originals are kept, and what is kept is told", async () => {
  const user = userEvent.setup();
  let isKept = false;
  const result = {
    files: 3,
    new: 2,
    grown: 0,
    unchanged: 0,
    rewritten: 0,
    failed: 1,
    problems_listed: [{ file: "/a/b.jsonl", reason: "permission denied" }],
  };
  show({
    "GET /api/sessions": { items: [session], next: null },
    "GET /api/sessions/archive": () =>
      isKept
        ? { files: 2, size_bytes: 2_500_000, archived_at: new Date().toISOString() }
        : { files: 0, size_bytes: 0, archived_at: null },
    "POST /api/sessions/archive": { id: "t3", kind: "session_archive", state: "queued" },
    "GET /api/tasks/t3": () => {
      isKept = true;
      return { ...built, id: "t3", kind: "session_archive", result };
    },
  });
  await user.click(await screen.findByRole("button", { name: "Keep a copy" }));
  expect(await screen.findByText("2 files stored")).toBeVisible();
  expect(await screen.findByText(/2 files kept, 2.5 MB/)).toBeVisible();
  expect(screen.getByText("1 file that did not read")).toBeInTheDocument();
  expect(screen.getByTestId("where")).toHaveTextContent("/sessions?keep=t3");
});

const cut = (text: string, left_out = 0) => ({ text, left_out });
const step = (number: number, kind: string, more: Partial<Step> = {}): Step => ({
  number,
  role: "assistant",
  kind,
  text: cut(""),
  thinking: null,
  calls: [],
  result: null,
  at: null,
  rewound: false,
  copied: false,
  ...more,
});
const steps = [
  step(1, "prompt", { role: "user", text: cut("Mend the store"), at: "2026-03-17T11:22:40Z" }),
  step(2, "assistant", {
    calls: [{ id: "t1", name: "Bash", arguments: cut('{"command":"cargo test\\n--all"}') }],
    at: "2026-03-17T11:22:41Z",
  }),
  step(3, "tool_result", {
    role: "tool",
    result: { call_id: "t1", content: cut("1 failed", 2000), is_error: true, exit_status: 101 },
    at: "2026-03-17T11:22:51Z",
  }),
  step(4, "injected", { role: "user", text: cut("a reminder\nof the program") }),
];

test("a result stands with its call, and a step says how long it took", () => {
  const shown = shownSteps(steps);
  expect(shown.map((one) => one.step.number)).toEqual([1, 2, 4]);
  expect(shown[1]?.results.get("t1")?.exit_status).toBe(101);
  expect([shown[0]?.tookMs, shown[1]?.tookMs]).toEqual([1_000, 10_000]);
  // One whose call is not on the page stands alone.
  expect(shownSteps(steps.slice(2)).map((one) => one.step.number)).toEqual([3, 4]);
  expect(gist('{"command":"ls\\npwd"}')).toBe("ls");
  expect(gist("{cut")).toBe("");
});

test("a session is read as a conversation, with how its tasks were judged and the rows made of it", async () => {
  const about = {
    session_id: "05be",
    parent_session_id: null,
    agent: "claude_code",
    agent_version: "2.1",
    models: ["m"],
    cwd: "/home/dev",
    started_at: "2026-03-17T11:22:40Z",
    ended_at: "2026-03-17T11:24:40Z",
    steps: 4,
    tokens: { input: 7, output: 25, cache_creation: 0, cache_read: 9 },
    prompts: 1,
    tool_calls: 1,
    tool_errors: 1,
    tasks: [
      {
        first_step: 1,
        value: 0.2,
        parts: [{ part: "tests", value: 0, weight: 0.35, reason: "the last test run failed" }],
      },
    ],
  };
  const { asked } = showPage(Session, {
    route: "/sessions/*",
    at: "/sessions/logs/05be.jsonl?conversation=1&at=3",
    answers: {
      "GET /api/sessions/session": [about, { ...about, session_id: "05be/a1", parent_session_id: "05be" }],
      "GET /api/sessions/steps": { items: steps, next: null },
      "GET /api/datasets": { items: [{ name: "mine", rows_of_session: 3 }], next: null },
    },
  });
  expect(await screen.findByText("Mend the store")).toBeVisible();
  expect(screen.getByText("It failed with status 101")).toBeVisible();
  expect(screen.getByText("2 kB more are not shown")).toBeVisible();
  expect(screen.getByText("a reminder")).toBeVisible();
  expect(await screen.findByRole("link", { name: "Subagent a1" })).toHaveAttribute("aria-current", "page");
  expect(screen.getByText("the last test run failed")).toBeInTheDocument();
  expect(await screen.findByRole("link", { name: "mine" })).toHaveAttribute("href", "/datasets/mine?session=05be%2Fa1");
  const query = asked.find(({ path }) => path.endsWith("/steps"))?.search;
  expect([query?.get("file"), query?.get("conversation"), query?.get("after")]).toEqual(["/logs/05be.jsonl", "1", "2"]);
});

test("a session that is not there says so", async () => {
  showPage(Session, { route: "/sessions/*", at: "/sessions/logs/none.jsonl", answers: {} });
  expect((await screen.findAllByRole("alert")).length).toBeGreaterThan(0);
});
