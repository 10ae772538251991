import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { useLive } from "../../../api/live";
import { duration, number } from "../../../lib/format";
import { FailureNote } from "../../../ui/failure";
import { Figure, Meter } from "../../../ui/parts";
import { Plot, type Series } from "../../../ui/plot";
import { type FetchLines, scan } from "../log";
import { Metrics, type SeriesName, seriesNames } from "../metrics";

const POLL_MS = 2_000;

/** Reads what a training tells, from its first line on, and goes on as lines come. */
export function useMetrics(id: string, fetchLines: FetchLines, over: boolean) {
  const metrics = useMemo(() => ({ of: fetchLines, read: new Metrics() }).read, [fetchLines]);
  const [version, setVersion] = useState(0);
  const [error, setError] = useState<unknown>();
  const reading = useRef(false);
  const again = useRef(false);
  const read = useCallback(async () => {
    again.current = true;
    if (reading.current) return;
    reading.current = true;
    const stop = new AbortController();
    try {
      while (again.current) {
        again.current = false;
        for await (const lines of scan(fetchLines, metrics.seen, stop.signal)) {
          if (metrics.take(lines)) setVersion((now) => now + 1);
        }
      }
      setError(undefined);
    } catch (why) {
      setError(why);
    } finally {
      reading.current = false;
    }
  }, [fetchLines, metrics]);
  useEffect(() => {
    void read();
    if (over) return;
    const timer = setInterval(() => void read(), POLL_MS);
    return () => clearInterval(timer);
  }, [read, over]);
  useLive(
    `job:${id}`,
    useCallback(
      (event) => {
        if (event.type !== "hf:job:log") void read();
      },
      [read],
    ),
  );
  return { metrics, version, error };
}

export function TrainingMetrics({ metrics, version, error }: ReturnType<typeof useMetrics>) {
  const plots = useMemo(() => {
    // The same object grows: its version says when.
    void version;
    const series = (name: SeriesName): Series => ({
      name: seriesNames[name],
      points: [...(metrics.series.get(name) ?? [])],
    });
    return [
      { title: "Loss", series: [series("loss"), series("val_loss")] },
      { title: "Learning rate", series: [series("learning_rate")] },
      { title: "Gradient norm", series: [series("gradient_norm")] },
      { title: "Speed", series: [series("tokens_per_second")] },
    ].filter((plot) => plot.series.some((one) => one.points.length > 1));
  }, [metrics, version]);
  if (error !== undefined) return <FailureNote error={error} title="The measurements could not be read just now" />;
  if (plots.length === 0)
    return <p className="quiet">No measurements yet. A training tells them step by step, from its first step on.</p>;
  return (
    <div className="plots">
      {plots.map((plot) => (
        <Plot key={plot.title} {...plot} marks={plot.title === "Loss" ? metrics.checkpoints : []} />
      ))}
    </div>
  );
}

export function TrainingProgress({ metrics, version, over }: { metrics: Metrics; version: number; over: boolean }) {
  void version;
  const { progress } = metrics;
  const validation = metrics.series.get("val_loss");
  const [before, now] = [validation?.[0], validation?.at(-1)];
  return (
    <div className="stack">
      <div className="figures">
        <Figure
          label="Step"
          value={progress ? `${number(progress.step)}${progress.total ? ` of ${number(progress.total)}` : ""}` : "–"}
        >
          {over || !progress?.etaSecs ? null : `about ${duration(progress.etaSecs)} left`}
        </Figure>
        <Figure label="Validation loss" value={now ? number(now.value, 3) : "–"}>
          {before && now && now !== before ? `from ${number(before.value, 3)}` : null}
        </Figure>
        <Figure label="Speed" value={progress?.tokensPerSecond ? `${number(progress.tokensPerSecond)}/s` : "–"}>
          tokens
        </Figure>
      </div>
      {progress?.total ? <Meter label="Training progress" share={progress.step / progress.total} /> : null}
    </div>
  );
}
