import { expect, test } from "vitest";
import { intentOf, type Job, jobCan, stageWords, timeline, trainConfigOf } from "./model";

const job = (stage: string, hub: Record<string, unknown> = {}): Job => ({
  id: "66aa",
  stage,
  is_over: !["SCHEDULING", "RUNNING", "PAUSED"].includes(stage),
  message: null,
  flavor: "cpu-basic",
  url: "",
  created_at: "2026-11-23T02:00:00Z",
  running_seconds: null,
  hub: hub as Job["hub"],
});

test("a stage that is new at the Hub is shown as it is, and not as a failure", () => {
  expect(stageWords("PAUSED")).toEqual({ label: "PAUSED", tone: "warn" });
  expect(stageWords("ERROR").tone).toBe("bad");
});

test("only what runs is canceled, and only what did not complete is run again", () => {
  expect(jobCan.cancel(job("RUNNING"))).toBe(true);
  expect(jobCan.cancel(job("ERROR"))).toBe(false);
  expect(jobCan.runAgain(job("ERROR"))).toBe(true);
  expect(jobCan.runAgain(job("COMPLETED"))).toBe(false);
});

test("the way of a job ends with its stage", () => {
  expect(timeline(job("SCHEDULING")).map((step) => step.state)).toEqual(["done", "now", "todo"]);
  expect(timeline(job("RUNNING", { startedAt: "2026-11-23T02:00:01Z" })).map((step) => step.state)).toEqual([
    "done",
    "done",
    "now",
  ]);
  expect(
    timeline(job("ERROR", { startedAt: "2026-11-23T02:00:01Z", finishedAt: "2026-11-23T02:00:09Z" })).at(-1),
  ).toEqual({ label: "Failed", at: "2026-11-23T02:00:09Z", state: "bad" });
});

test("labels tell which attempt at which run it is", () => {
  expect(intentOf(job("RUNNING", { labels: { "bashgym-run": "01a", "bashgym-intent": "01a.2" } }))).toEqual({
    run: "01a",
    attempt: 2,
  });
  expect(intentOf(job("RUNNING"))).toBeNull();
});

test("a configuration that does not read is no configuration", () => {
  expect(trainConfigOf(job("RUNNING", { environment: { BASHGYM_JOB_CONFIG: "{" } }))).toBeNull();
  expect(
    trainConfigOf(job("RUNNING", { environment: { BASHGYM_JOB_CONFIG: '{"dataset_repo":"me/one"}' } }))?.dataset_repo,
  ).toBe("me/one");
});
