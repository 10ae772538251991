import { expect, test } from "vitest";
import type { Schema } from "../../api/client";
import type { Status } from "../../api/status";
import { type Demo, demoStages, demoState, type Have, loop } from "./model";

const status = (state: string) =>
  ({ endpoint: null, embedded: true, account: { state }, capabilities: [] }) as unknown as Status;
const run = (state: string) => ({ state }) as Schema<"RunView">;
const nothing: Have = { status: status("not_running"), sessions: 0, datasets: null, runs: [] };
const next = (have: Partial<Have>) => loop({ ...nothing, ...have }).find((step) => step.state === "next")?.id;

test("the next step is the first that is missing", () => {
  expect(next({})).toBe("hub");
  expect(next({ status: status("signed_in") })).toBe("sessions");
  expect(next({ status: status("signed_in"), sessions: 3, datasets: 0 })).toBe("dataset");
  expect(next({ status: status("signed_in"), sessions: 3, datasets: 1 })).toBe("train");
  expect(next({ status: status("signed_in"), sessions: 3, datasets: 1, runs: [run("failed"), run("succeeded")] })).toBe(
    "serve",
  );
});

test("who has a dataset is not asked for sessions", () => {
  expect(next({ status: status("signed_in"), datasets: 1 })).toBe("train");
});

test("what could not be found out is neither done nor next", () => {
  const steps = loop({ ...nothing, status: null, sessions: null });
  expect(steps.slice(0, 3).map((step) => step.state)).toEqual(["unknown", "unknown", "unknown"]);
});

test("a demo goes on while its task does, and says why it ended", () => {
  const demo = (run: string | null, task: string | null, more: object = {}) =>
    ({
      available: true,
      run: run ? { state: run } : null,
      task: task ? { state: task, progress: null, error: null, ...more } : null,
    }) as unknown as Demo;
  expect(demoState(demo(null, null)).is).toBe("none");
  expect(demoState(demo("published", "running")).is).toBe("going");
  expect(demoState(demo("succeeded", "running")).is).toBe("done");
  expect(demoState(demo("published", "canceled")).is).toBe("stopped");
  expect(demoState(demo("failed", "failed", { error: { message: "no rows", hint: "try again" } }))).toEqual({
    is: "failed",
    why: "no rows",
    hint: "try again",
  });
  expect(demoState(demo("published", null)).is).toBe("failed");
  const { at, share, stages } = demoStages(demo("published", "running", { progress: { message: "train" } }));
  expect([at, share, stages.length]).toEqual([3, 0.5, 6]);
});
