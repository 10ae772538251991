import { act, screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test, vi } from "vitest";
import { type LiveEvent, live } from "../../api/live";
import { Refusal, showPage } from "../../testing/page";
import { aboutOf, deedOf, detailOf, eventName, gather, KEEP, toneOf, withNew } from "./model";
import Activity from "./pages/Activity";

const event = (seq: number, type = "run:stage", data: LiveEvent["data"] = {}, topic = "run:01a2"): LiveEvent => ({
  seq,
  time: "2026-11-23T02:53:28Z",
  type,
  topic,
  data,
});
const meta = (more: boolean, after = 2) => ({ after, more, resync: false });
const show = (answers: Record<string, unknown>, at = "/activity") =>
  showPage(Activity, {
    route: "/activity",
    at,
    answers: {
      "GET /api/events/log": { items: [], meta: meta(false) },
      "GET /api/tasks": { items: [], next: null },
      ...answers,
    },
  });

test("events are kept once, the latest first, without what only says that something goes on", () => {
  const kept = gather([
    event(3),
    event(7),
    event(3),
    event(8, "hf:job:log"),
    event(9, "run:stage", { status: "progress" }),
  ]);
  expect(kept.map((one) => one.seq)).toEqual([7, 3]);
});

test("what just came is of the first page; only the end of what is shown is cut off, and can be fetched again", () => {
  const page = (from: number, to: number, next: string | null = null) => ({
    events: Array.from({ length: from - to + 1 }, (_, at) => event(from - at)),
    next,
  });
  expect(withNew([], event(1))).toEqual([]);
  const [first, second] = withNew([page(9, 5, "5"), page(4, 1)], event(10));
  expect([first?.events[0]?.seq, first?.next, second?.events.length]).toEqual([10, "5", 4]);
  const [cut] = withNew([page(KEEP, 1)], event(KEEP + 1));
  expect([cut?.events.length, cut?.events.at(-1)?.seq, cut?.next]).toEqual([KEEP, 2, "2"]);
});

test("an event has words, and a page it is about", () => {
  expect(eventName("space:born")).toBe("space:born");
  expect([toneOf("hf:job:failed"), toneOf("task:done"), toneOf("run:created")]).toEqual(["bad", "good", "plain"]);
  expect(detailOf(event(1, "run:stage", { stage: "import", status: "started", rows: 3 }))).toEqual([
    "import",
    "started",
  ]);
  expect(aboutOf(event(1))?.to).toBe("/runs/01a2");
  expect(aboutOf(event(1, "hf:job:state", { run_id: "77" }, "launch:77.1"))?.to).toBe("/runs/77");
  expect(aboutOf(event(1, "budget:settled", {}, "budget:jobs"))).toBeNull();
});

test("the latest events are read first, older ones when they are asked for, and new ones come above", async () => {
  const user = userEvent.setup();
  let hear: (event: LiveEvent) => void = () => {};
  vi.spyOn(live, "listen").mockImplementation((_, told) => {
    hear = told;
    return () => {};
  });
  const { asked } = show(
    {
      "GET /api/events/log": ({ search }: { search: URLSearchParams }) =>
        search.get("after")
          ? { items: [event(1, "run:created")], meta: meta(false) }
          : { items: [event(2, "run:completed")], meta: meta(true, 2) },
    },
    "/activity?of=run",
  );
  expect(await screen.findByText("A run ended")).toBeVisible();
  await user.click(screen.getByRole("button", { name: "Show more" }));
  expect(await screen.findByText("A run was made")).toBeVisible();
  const queries = asked.filter(({ path }) => path.endsWith("/log")).map(({ search }) => search);
  expect(queries.map((query) => query.get("topics"))).toEqual(["run:*", "run:*"]);
  expect(queries.map((query) => query.get("order"))).toEqual(["desc", "desc"]);
  expect(queries[1]?.get("after")).toBe("2");
  act(() => {
    hear(event(3, "run:started"));
    hear(event(4, "hf:job:failed", {}, "job:66aa"));
  });
  await waitFor(() => expect(screen.getAllByRole("row")).toHaveLength(4));
  expect(screen.getAllByRole("row")[1]).toHaveTextContent("A run was begun");
  expect(screen.queryByText("A job failed")).not.toBeInTheDocument();
});

test("the audit says what was spent, deleted, sent and changed, and shows one of them alone", async () => {
  const deed = event(5, "audit:dataset_deleted", { did: "deleted", of: "me/old" }, "audit:deleted");
  expect(deedOf(deed)).toMatchObject({ did: "deleted", what: "Dataset deleted", of: "me/old" });
  const user = userEvent.setup();
  const { asked } = show({ "GET /api/events/log": { items: [deed], meta: meta(false) } }, "/activity?view=audit");
  expect(await screen.findByRole("row", { name: /deleted Dataset deleted me\/old/ })).toBeVisible();
  await user.click(screen.getByRole("tab", { name: "Deleted" }));
  await waitFor(() => expect(screen.getByTestId("where")).toHaveTextContent("/activity?view=audit&of=deleted"));
  await waitFor(() => expect(asked.at(-1)?.search.get("topics")).toBe("audit:deleted"));
});

test("nothing yet is told so, and each half fails alone", async () => {
  show({ "GET /api/tasks": new Refusal(503, "store", "the store does not answer") });
  expect(await screen.findByText("Nothing happened yet.")).toBeVisible();
  expect(await screen.findByText("The store does not answer.")).toBeVisible();
});

test("a task that goes on is stopped when that is confirmed; one that failed says why", async () => {
  const user = userEvent.setup();
  const base = { kind: "dataset_build", progress: null, result: null, error: null, attempts: 1, finished_at: null };
  const at = { created_at: "2026-11-23T02:55:02Z" };
  const going = { ...base, ...at, id: "t1", state: "running", progress: { done: 3, total: 30, unit: "files" } };
  const failed = { ...base, ...at, id: "t2", state: "failed", error: { message: "no rows are left" } };
  const { asked } = show({
    "GET /api/tasks": { items: [going, failed], next: null },
    "DELETE /api/tasks/t1": { ...going, state: "canceled" },
  });
  expect(await screen.findByText("3 of 30 files")).toBeVisible();
  expect(screen.getByText("no rows are left")).toBeVisible();
  await user.click(screen.getByRole("button", { name: "Stop: Build a dataset" }));
  expect(asked.some(({ method }) => method === "DELETE")).toBe(false);
  await user.click(within(screen.getByRole("dialog")).getByRole("button", { name: "Stop it" }));
  await waitFor(() => expect(asked.find(({ method }) => method === "DELETE")?.path).toBe("/api/tasks/t1"));
});
