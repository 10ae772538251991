import { expect, test } from "vitest";
import { thin, ticks } from "./scale";

test("ticks are round and within", () => {
  expect(ticks(0, 10, 5)).toEqual([0, 2, 4, 6, 8, 10]);
  expect(ticks(0.0003, 0.0021, 4)).toEqual([0.0005, 0.001, 0.0015, 0.002]);
  expect(ticks(3, 3)).toEqual([3]);
});

test("what is left out is never the highest or the lowest", () => {
  const points = Array.from({ length: 10_000 }, (_, step) => ({
    step,
    value: step === 5_001 ? 99 : step === 7_003 ? -99 : Math.sin(step),
  }));
  const kept = thin(points, 200, (point) => point.value);
  expect(kept.length).toBeLessThanOrEqual(200);
  expect(kept[0]).toBe(points[0]);
  expect(kept.at(-1)).toBe(points.at(-1));
  expect(kept.some((point) => point.value === 99) && kept.some((point) => point.value === -99)).toBe(true);
  expect(kept.every((point, at) => at === 0 || point.step > (kept[at - 1]?.step ?? -1))).toBe(true);
  expect(thin(points.slice(0, 3), 200, (point) => point.value)).toHaveLength(3);
});
