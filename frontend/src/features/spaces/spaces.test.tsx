import { screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { beforeEach, expect, test, vi } from "vitest";
import { never, Refusal, showPage } from "../../testing/page";
import { failureParts, nameFor, priceOf, type Space, spaceCan, stageWords, tellingLog, way } from "./model";
import NewSpace from "./pages/NewSpace";
import SpaceDetail from "./pages/SpaceDetail";
import Spaces from "./pages/Spaces";

const id = "me/demo";
const space: Space = {
  space_id: id,
  url: "https://hub/spaces/me/demo",
  app_url: null,
  app: "gradio",
  stage: "RUNNING",
  is_serving: true,
  is_changing: false,
  hardware: "cpu-basic",
  hardware_requested: "cpu-basic",
  sleep_seconds: 172_800,
  dev_mode: false,
  commit: "c0ffee",
  error: null,
  simulated: null,
  model_repo: "me/student",
  model_revision: "a4a2d056e659aaaa",
  previous: null,
  zero_gpu: null,
};
const hardware = [
  { name: "cpu-basic", title: "CPU Basic", cpu: "2", ram: "16", micro_usd_per_minute: 0 },
  { name: "t4-small", title: "T4", cpu: "4", ram: "15", micro_usd_per_minute: 6_667 },
];
const status = {
  endpoint: "https://hub",
  embedded: false,
  account: { state: "signed_in", namespace: "me" },
  capabilities: [
    {
      feature: "zero_gpu_spaces",
      title: "Host ZeroGPU Spaces",
      state: "unavailable",
      why: "a PRO account is needed",
      unlock: "subscribe to PRO",
      limit: null,
      source: "plan",
    },
  ],
};
const common = {
  "GET /api/hf/status": status,
  "GET /api/hf/space-hardware": hardware,
  "GET /api/runs": { items: [{ state: "succeeded", model_repo: "me/student" }], next: null },
  [`GET /api/hf/spaces/${id}/secrets`]: [{ key: "STYLE_KEY", description: null, updated_at: null }],
  [`GET /api/hf/spaces/${id}/variables`]: [],
};
const task = (state: string, more: object = {}) => ({
  id: "t1",
  state,
  progress: null,
  result: null,
  error: null,
  ...more,
});

class Log {
  static opened: string[] = [];
  static ends = false;
  onerror: (() => void) | null = null;
  constructor(url: string) {
    Log.opened.push(url);
  }
  addEventListener(name: string, hear: (event: MessageEvent<string>) => void) {
    if (name === "end" && Log.ends) queueMicrotask(() => hear(new MessageEvent("end")));
    if (name === "line")
      queueMicrotask(() =>
        hear(new MessageEvent("line", { data: JSON.stringify({ number: 1, timestamp: null, text: "it starts" }) })),
      );
  }
  close() {}
}
beforeEach(() => {
  Log.opened = [];
  Log.ends = false;
  vi.stubGlobal("EventSource", Log);
});

const detail = (found: unknown, more: Record<string, unknown> = {}, search = "") =>
  showPage(SpaceDetail, {
    route: "/spaces/*",
    at: `/spaces/${id}${search}`,
    answers: { ...common, [`GET /api/hf/spaces/${id}`]: found, ...more },
  });
const fresh = (more: Record<string, unknown> = {}, search = "") =>
  showPage(NewSpace, { route: "/spaces/new", at: `/spaces/new${search}`, answers: { ...common, ...more } });

test("each stage has words, a place on the way and its log; a new one is no failure", () => {
  expect(stageWords("BUILD_ERROR").tone).toBe("bad");
  expect(stageWords("DREAMING")).toEqual({ label: "DREAMING", tone: "warn" });
  const states = (stage: string) => way(stage).map((step) => step.state);
  expect(states("RUNNING")).toEqual(["done", "done", "done", "done"]);
  expect(states("BUILDING")).toEqual(["done", "now", "todo", "todo"]);
  expect(states("RUNTIME_ERROR")).toEqual(["done", "done", "bad", "todo"]);
  expect(states("PAUSED")).toEqual(["done", "done", "todo", "todo"]);
  expect([tellingLog("BUILD_ERROR"), tellingLog("RUNTIME_ERROR")]).toEqual(["build", "run"]);
  expect(spaceCan.answer({ stage: "SLEEPING", is_serving: false })).toBe(true);
  expect(spaceCan.pause({ stage: "PAUSED" })).toBe(false);
});

test("an unknown price is not free, and a name is one the Hub takes", () => {
  const of = (name: string, micro: number | null) =>
    priceOf({ name, title: null, cpu: null, ram: null, micro_usd_per_minute: micro });
  expect(of("t4-small", 6_667)).toBe("$0.40 an hour");
  expect(of("t4-small", null)).toBe("price not known");
  expect(of("cpu-basic", null)).toBe("no charge");
  expect(nameFor("me/my student!")).toBe("my-student");
  expect(failureParts("it failed; nothing was made\nlog: one\nlog: two")).toEqual({
    message: "it failed; nothing was made",
    log: ["one", "two"],
  });
});

test("Spaces are listed with what they serve; without one it is said how to make one", async () => {
  const item = {
    space_id: id,
    stage: "RUNNING",
    hardware: "cpu-basic",
    sdk: "gradio",
    private: true,
    last_modified: null,
  };
  showPage(Spaces, {
    route: "/spaces",
    at: "/spaces",
    answers: { "GET /api/hf/spaces": { items: [item], next: null }, [`GET /api/hf/spaces/${id}`]: space },
  });
  expect(await screen.findByRole("link", { name: id })).toHaveAttribute("href", `/spaces/${id}`);
  expect(await screen.findByText("me/student")).toBeVisible();
  showPage(Spaces, { route: "/spaces", at: "/spaces", answers: { "GET /api/hf/spaces": { items: [], next: null } } });
  expect(await screen.findByRole("heading", { name: "No Space yet" })).toBeVisible();
});

test("a list that cannot be had says why", async () => {
  showPage(Spaces, {
    route: "/spaces",
    at: "/spaces",
    answers: { "GET /api/hf/spaces": new Refusal(502, "hub_unreachable", "the Hub does not answer", ["try again"]) },
  });
  expect(await screen.findByText("The Hub does not answer.")).toBeVisible();
});

test("a Space is made on hardware that costs nothing without another question", async () => {
  const user = userEvent.setup();
  const { asked } = fresh({ "POST /api/hf/spaces": task("queued"), "GET /api/tasks/t1": task("running") });
  await waitFor(() => expect(screen.getByLabelText("Model repository")).toHaveValue("me/student"));
  // ZeroGPU is not to be had, and it is said why.
  await waitFor(() => expect(screen.getByLabelText("Hardware")).toHaveValue("cpu-basic"));
  expect(screen.getByRole("option", { name: /ZeroGPU.*not available to you/ })).toBeInTheDocument();
  await user.click(screen.getByRole("button", { name: "Make the Space" }));
  expect(await screen.findByRole("list", { name: "Steps" })).toBeVisible();
  const sent = asked.find(({ method }) => method === "POST");
  expect(sent?.body).toMatchObject({ model: "me/student", name: "student", hardware: "cpu-basic", accept_cost: false });
  expect(sent?.headers.get("idempotency-key")).toBeTruthy();
  // The address has the task: a reload shows how far it is.
  expect(screen.getByTestId("where")).toHaveTextContent("task=t1");
});

test("bashgym itself answers on processors, and what cannot be had is not offered", async () => {
  const user = userEvent.setup();
  const { asked } = fresh({ "POST /api/hf/spaces": task("queued"), "GET /api/tasks/t1": task("running") });
  await user.selectOptions(await screen.findByLabelText("Hardware"), "t4-small");
  await user.selectOptions(screen.getByLabelText("What answers"), "bashgym");
  expect(screen.getByLabelText("Hardware")).toHaveValue("cpu-basic");
  expect(screen.queryByRole("option", { name: /T4|ZeroGPU/ })).toBeNull();
  await user.click(screen.getByRole("button", { name: "Make the Space" }));
  await waitFor(() =>
    expect(asked.find(({ method }) => method === "POST")?.body).toMatchObject({
      app: "bashgym",
      hardware: "cpu-basic",
      accept_cost: false,
    }),
  );
});

test("who makes a Space on ZeroGPU sees the own time before a visitor meets its end", async () => {
  const user = userEvent.setup();
  const quota = { state: "known", base_seconds: 1500, left_seconds: 300, resets_at: null, over_quota_seconds: 0 };
  fresh({ "GET /api/wallet": { zero_gpu: quota } });
  await user.selectOptions(await screen.findByLabelText("Hardware"), "zero-gpu");
  expect(await screen.findByText(/5 min of 25 min are left/)).toBeVisible();
});

test("hardware that is billed says what, for how long and to whom before it is asked for", async () => {
  const user = userEvent.setup();
  const { asked } = fresh({ "POST /api/hf/spaces": task("queued"), "GET /api/tasks/t1": task("running") });
  await waitFor(() => expect(screen.getByLabelText("Model repository")).toHaveValue("me/student"));
  await user.selectOptions(await screen.findByLabelText("Hardware"), "t4-small");
  await user.click(screen.getByRole("button", { name: "Make the Space" }));
  const dialog = screen.getByRole("dialog", { name: "Use hardware that is billed?" });
  expect(dialog).toHaveTextContent("$0.40 an hour, billed to me");
  expect(asked.some(({ method }) => method === "POST")).toBe(false);
  await user.click(within(dialog).getByRole("button", { name: "Make it and pay" }));
  await waitFor(() => expect(asked.find(({ method }) => method === "POST")?.body).toMatchObject({ accept_cost: true }));
});

test("hardware that is not to be had says what it would take", async () => {
  const user = userEvent.setup();
  fresh();
  await user.selectOptions(await screen.findByLabelText("Hardware"), "zero-gpu");
  expect(await screen.findByText("A PRO account is needed.")).toBeVisible();
  expect(screen.getByText("Subscribe to PRO.")).toBeVisible();
});

test("a deployment that failed tells why with the lines of its log", async () => {
  const error = { message: "the build failed; what was made is removed again\nlog: no module torch", hint: "look" };
  fresh({ "GET /api/tasks/t1": task("failed", { error, progress: { done: 2 } }) }, "?task=t1");
  expect(await screen.findByText("The build failed; what was made is removed again.")).toBeVisible();
  expect(screen.getByText("no module torch")).toBeVisible();
  expect(screen.getByText("Build and start").closest("li")).toHaveAttribute("data-state", "bad");
});

test("a deployment that is done shows the answer to its first question", async () => {
  const result = {
    space_id: id,
    model_repo: "me/student",
    model_revision: "a4a2d056e659aaaa",
    smoke: { state: "answered", text: "hello", seconds: 0.25 },
  };
  fresh({ "GET /api/tasks/t1": task("done", { result, progress: { done: 5 } }) }, "?task=t1");
  expect(await screen.findByText("It runs, and answered its first question")).toBeVisible();
  expect(screen.getByText("after 250 ms")).toBeVisible();
  expect(screen.getByRole("link", { name: id })).toHaveAttribute("href", `/spaces/${id}`);
});

test("the app is asked, and its answer grows", async () => {
  const user = userEvent.setup();
  const { asked } = detail(space);
  await user.type(await screen.findByLabelText("Prompt"), "Say hello");
  const real = window.fetch;
  vi.spyOn(window, "fetch").mockImplementation(async (input, init) => {
    const request = input as Request;
    if (!request.url.endsWith("/try")) return real(input, init);
    asked.push({
      method: "POST",
      path: "try",
      search: new URLSearchParams(),
      body: await request.json(),
      headers: request.headers,
    });
    const text = 'event: so_far\ndata: {"text":"hel"}\n\nevent: done\ndata: {"text":"hello"}\n\n';
    return new Response(text, { headers: { "content-type": "text/event-stream" } });
  });
  await user.click(screen.getByRole("button", { name: "Ask" }));
  expect(await screen.findByText("hello")).toBeVisible();
  expect(asked.at(-1)?.body).toEqual({ prompt: "Say hello", max_new_tokens: 128, temperature: 0 });
});

test("an app that does not run is not asked, and why it failed is told", async () => {
  detail({ ...space, stage: "BUILD_ERROR", is_serving: false, error: "no module torch" });
  expect(await screen.findByText("no module torch")).toBeVisible();
  expect(screen.getByLabelText("Prompt")).toBeDisabled();
  await waitFor(() => expect(Log.opened.at(-1)).toContain("log=build"));
});

test("a log is followed, and which one is in the address", async () => {
  const user = userEvent.setup();
  detail(space);
  expect(await screen.findByText("it starts")).toBeVisible();
  await user.click(screen.getByRole("tab", { name: "Build" }));
  expect(screen.getByTestId("where")).toHaveTextContent("log=build");
  expect(Log.opened.at(-1)).toBe("/api/hf/spaces/me%2Fdemo/logs/stream?log=build");
});

test("a log that was over goes on when the Space starts again", async () => {
  const user = userEvent.setup();
  Log.ends = true;
  let stage = "PAUSED";
  detail(() => ({ ...space, stage, is_serving: stage === "RUNNING" }), {
    [`POST /api/hf/spaces/${id}/restart`]: () => {
      stage = "RUNNING";
      return {};
    },
  });
  expect(await screen.findByText("it starts")).toBeVisible();
  expect(Log.opened).toHaveLength(1);
  await user.click(screen.getByRole("button", { name: "Restart" }));
  await waitFor(() => expect(Log.opened).toHaveLength(2));
});

test("a Space is deleted by its name alone", async () => {
  const user = userEvent.setup();
  const { asked } = detail(space, { [`DELETE /api/hf/spaces/${id}`]: undefined });
  await user.click(await screen.findByRole("button", { name: "Delete" }));
  const dialog = screen.getByRole("dialog", { name: "Delete this Space?" });
  const sure = within(dialog).getByRole("button", { name: "Delete for good" });
  expect(sure).toBeDisabled();
  await user.type(within(dialog).getByRole("textbox"), id);
  await user.click(sure);
  await waitFor(() => expect(asked.find(({ method }) => method === "DELETE")?.headers.get("x-confirm")).toBe(id));
});

test("secrets are names; one is removed only when that is confirmed", async () => {
  const user = userEvent.setup();
  const { asked } = detail(space, { [`DELETE /api/hf/spaces/${id}/secrets/STYLE_KEY`]: undefined });
  await user.click(await screen.findByRole("button", { name: "Remove STYLE_KEY" }));
  expect(asked.some(({ method }) => method === "DELETE")).toBe(false);
  await user.click(within(screen.getByRole("dialog")).getByRole("button", { name: "Remove it" }));
  await waitFor(() => expect(asked.some(({ method }) => method === "DELETE")).toBe(true));
});

const writeSecret = async () => {
  const user = userEvent.setup();
  await user.type(await screen.findByLabelText("Name of a secret"), "API_KEY");
  const value = within(screen.getByRole("region", { name: "Secrets" })).getByLabelText("Its value");
  await user.type(value, "hunter2");
  await user.click(screen.getByRole("button", { name: "Set the secret" }));
  return value;
};

test("a secret leaves the page when it is sent", async () => {
  detail(space, { [`PUT /api/hf/spaces/${id}/secrets`]: never });
  expect(await writeSecret()).toHaveValue("");
});

test("a secret that was refused is there to be corrected", async () => {
  detail(space, { [`PUT /api/hf/spaces/${id}/secrets`]: new Refusal(503, "hub", "the Hub is busy", ["wait"]) });
  const value = await writeSecret();
  expect(await screen.findByText("The secret was not set")).toBeVisible();
  expect(value).toHaveValue("hunter2");
});

test("a change of the model is a task on the Space's own page", async () => {
  const user = userEvent.setup();
  const { asked } = detail(space, {
    [`POST /api/hf/spaces/${id}/update`]: task("queued"),
    "GET /api/tasks/t1": task("running", { progress: { done: 3, message: "BUILDING" } }),
  });
  await user.click(await screen.findByRole("button", { name: "Another model or revision" }));
  await user.click(within(screen.getByRole("dialog")).getByRole("button", { name: "Serve it" }));
  expect(await screen.findByText("BUILDING")).toBeVisible();
  expect(asked.find(({ method }) => method === "POST")?.body).toEqual({ model: "me/student" });
  expect(screen.getByRole("button", { name: "Roll back" })).toBeDisabled();
});

test("limits are fitted, and it is said from what", async () => {
  const user = userEvent.setup();
  const limits = (seconds: number, ms: number) => ({ max_gpu_seconds: seconds, ms_per_token: ms });
  const { asked } = detail(space, {
    [`POST /api/hf/spaces/${id}/fit`]: task("queued"),
    "GET /api/tasks/t1": task("done", {
      result: {
        space_id: id,
        changed: true,
        measured: { requests: 7, ms_per_token: 12.34 },
        before: limits(120, 60),
        limits: limits(30, 19),
      },
    }),
  });
  await user.click(await screen.findByRole("button", { name: "Fit limits" }));
  await user.click(within(screen.getByRole("dialog")).getByRole("button", { name: "Fit them" }));
  expect(await screen.findByText(/7 requests took 12.3 ms a token. A request gets 30 s at most/)).toBeVisible();
  expect(asked.filter(({ method }) => method === "POST")).toHaveLength(1);
});

test("a Space that is not there is told so", async () => {
  detail(never);
  expect(screen.getByRole("status", { name: "Loading" })).toBeInTheDocument();
  detail(new Refusal(404, "not_found", "there is no Space me/demo"));
  expect(await screen.findByText("There is no Space me/demo.")).toBeVisible();
});
