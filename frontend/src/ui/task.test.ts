import { expect, test } from "vitest";
import { progressWords, secondsLeft } from "./task";

test("progress is told in what it is counted in", () => {
  expect(progressWords({ done: 3, total: 30, unit: "files" })).toBe("3 of 30 files");
  expect(progressWords({ done: 1_500_000, total: 3_000_000, unit: "bytes" })).toBe("1.5 MB of 3 MB");
  expect(progressWords({ done: 7 })).toBe("7");
});

test("the time left follows from what was done since it was first seen, and is not guessed", () => {
  const first = { done: 10, at: 0 };
  expect(secondsLeft(first, { done: 20, at: 5_000 }, 100)).toBe(40);
  expect(secondsLeft(first, { done: 20, at: 500 }, 100)).toBeNull();
  expect(secondsLeft(first, { done: 10, at: 9_000 }, 100)).toBeNull();
  expect(secondsLeft(first, { done: 20, at: 5_000 }, undefined)).toBeNull();
  expect(secondsLeft(first, { done: 100, at: 5_000 }, 100)).toBeNull();
});
