import { screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test } from "vitest";
import { Refusal, showPage } from "../../testing/page";
import { agentName, byAgent, cutPath, isName, qualityOf } from "./model";
import Sessions from "./pages/Sessions";

const session = {
  agent: "claude_code",
  file: "/home/me/.claude/projects/a/05be.jsonl",
  size_bytes: 25_771,
  started_at: "2026-03-17T11:22:40Z",
  session_id: null,
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
