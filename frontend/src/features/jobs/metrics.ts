import type { Line } from "./log";

/** A measurement of a training, by step. */
export type Point = { step: number; value: number };
export type Progress = { step: number; total: number | null; etaSecs: number | null; tokensPerSecond: number | null };
export type Mark = { step: number; label: string; at: string | null };

const MARK = "[bashgym] ";
/** How many points a series keeps: beyond, every second is left out. */
const MOST_POINTS = 4_000;

type Told = Record<string, unknown> & { event?: string; step?: number };

export const seriesNames = {
  loss: "Training loss",
  val_loss: "Validation loss",
  learning_rate: "Learning rate",
  gradient_norm: "Gradient norm",
  tokens_per_second: "Tokens per second",
} as const;
export type SeriesName = keyof typeof seriesNames;

/** Reads what a training tells in its log, line by line. Lines of anything else are passed over. */
export class Metrics {
  readonly series = new Map<SeriesName, Point[]>();
  readonly checkpoints: Mark[] = [];
  progress: Progress | null = null;
  result: Told | null = null;
  seen = 0;
  private readonly strides = new Map<SeriesName, { keep: number; skipped: number }>();

  /** Takes the lines that follow what was seen; true when something was told. */
  take(lines: readonly Line[]): boolean {
    let told = false;
    for (const line of lines) {
      if (line.number <= this.seen) continue;
      this.seen = line.number;
      if (!line.text.startsWith(MARK)) continue;
      let record: Told;
      try {
        record = JSON.parse(line.text.slice(MARK.length)) as Told;
      } catch {
        continue;
      }
      told = true;
      this.read(record, line.timestamp);
    }
    return told;
  }

  private read(record: Told, at: string | null) {
    const { step } = record;
    if (record.event === "done" || record.event === "result") this.result = record;
    if (typeof step !== "number") return;
    if (record.event === "checkpoint") this.checkpoints.push({ step, label: `Checkpoint at step ${step}`, at });
    for (const name of Object.keys(seriesNames) as SeriesName[]) {
      const value = record[name];
      if (typeof value === "number" && Number.isFinite(value)) this.add(name, { step, value });
    }
    if (record.event === "step") {
      const number = (value: unknown) => (typeof value === "number" ? value : null);
      this.progress = {
        step,
        total: number(record["total_steps"]),
        etaSecs: number(record["eta_seconds"]),
        tokensPerSecond: number(record["tokens_per_second"]),
      };
    }
  }

  private add(name: SeriesName, point: Point) {
    const points = this.series.get(name) ?? [];
    const stride = this.strides.get(name) ?? { keep: 1, skipped: 0 };
    this.series.set(name, points);
    this.strides.set(name, stride);
    stride.skipped += 1;
    if (stride.skipped < stride.keep) return;
    stride.skipped = 0;
    points.push(point);
    if (points.length > MOST_POINTS) {
      const thinner = points.filter((_, at) => at % 2 === 0);
      points.splice(0, points.length, ...thinner);
      stride.keep *= 2;
    }
  }
}
