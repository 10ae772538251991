import { Plot } from "../../../ui/plot";
import type { TimePoint } from "../model";

/** Lines over time. */
export function TimePlot({ title, lines }: { title: string; lines: readonly { name: string; points: TimePoint[] }[] }) {
  return (
    <Plot
      title={title}
      axis="time"
      series={lines.map(({ name, points }) => ({
        name,
        points: points.map(({ at, value }) => ({ step: at, value })),
      }))}
    />
  );
}
