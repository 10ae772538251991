import { expect, test } from "vitest";
import type { Schema } from "../../api/client";
import type { Status } from "../../api/status";
import { type Have, loop } from "./model";

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
