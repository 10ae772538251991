import { expect, test } from "vitest";
import type { Line } from "./log";
import { Metrics } from "./metrics";

const lines = (...texts: string[]): Line[] =>
  texts.map((text, at) => ({ number: at + 1, timestamp: "2026-11-23T02:05:12Z", text }));
const step = (number: number, loss: number) =>
  `[bashgym] {"event":"step","step":${number},"total_steps":79,"loss":${loss},"learning_rate":0.001,"tokens_per_second":12424.5,"eta_seconds":3.2}`;

test("what a training tells is read, and everything else passed over", () => {
  const metrics = new Metrics();
  const told = metrics.take(
    lines(
      "Training",
      "[bashgym] {broken",
      '[bashgym] {"event":"eval","step":0,"val_loss":5.76}',
      step(1, 5.7),
      '[bashgym] {"event":"checkpoint","step":1}',
      step(2, 4.9),
      '[bashgym] {"event":"step","step":3,"loss":null}',
    ),
  );
  expect(told).toBe(true);
  expect(metrics.series.get("loss")).toEqual([
    { step: 1, value: 5.7 },
    { step: 2, value: 4.9 },
  ]);
  expect(metrics.series.get("val_loss")).toEqual([{ step: 0, value: 5.76 }]);
  expect(metrics.checkpoints).toEqual([{ step: 1, label: "Checkpoint at step 1", at: "2026-11-23T02:05:12Z" }]);
  expect(metrics.progress?.step).toBe(3);
});

test("a line that comes twice counts once", () => {
  const metrics = new Metrics();
  metrics.take(lines(step(1, 5)));
  expect(metrics.take(lines(step(1, 5)))).toBe(false);
  expect(metrics.series.get("loss")).toHaveLength(1);
});

test("a training of many steps keeps a bounded number of points, spread over all of it", () => {
  const metrics = new Metrics();
  for (let at = 1; at <= 100_000; at += 1)
    metrics.take([{ number: at, timestamp: null, text: `[bashgym] {"event":"step","step":${at},"loss":${1 / at}}` }]);
  const points = metrics.series.get("loss") ?? [];
  expect(points.length).toBeLessThanOrEqual(4_000);
  expect(points.length).toBeGreaterThan(1_500);
  expect(points.filter((point) => point.step > 50_000).length).toBeGreaterThan(points.length / 3);
});
