import { useQuery, useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useEffect, useRef } from "react";
import type { Schema } from "../api/client";
import { taskQuery, useStopTask } from "../api/task";
import { bytes, duration, number } from "../lib/format";
import { FailureNote, Hint } from "./failure";
import { Load } from "./load";
import { Button, Meter, Note } from "./parts";

type Task = Schema<"TaskView">;
export type Progress = { done: number; total?: number; unit?: string; message?: string };
type Failed = { message?: string; hint?: string };

/** How far something is, in words: sizes as sizes, anything else counted. */
export function progressWords({ done, total, unit }: Progress): string {
  if (unit === "bytes") return total ? `${bytes(done)} of ${bytes(total)}` : bytes(done);
  return `${number(done)}${total ? ` of ${number(total)}` : ""} ${unit ?? ""}`.trim();
}

type Seen = { done: number; at: number };

/** The seconds that are left when it goes on as it did since it was first seen; null while that says nothing. */
export function secondsLeft(first: Seen, now: Seen, total: number | undefined): number | null {
  const took = (now.at - first.at) / 1000;
  const did = now.done - first.done;
  if (!total || took < 2 || did <= 0 || now.done >= total) return null;
  return ((total - now.done) * took) / did;
}

/** How far a task is and how long it will take, what came of it, or why it failed. It can be stopped. */
export function TaskState({ id, label, done }: { id: string; label: string; done: (task: Task) => ReactNode }) {
  const task = useQuery(taskQuery(id));
  const client = useQueryClient();
  const isDone = task.data?.state === "done";
  // What came of it is in the lists, even where no event said so.
  useEffect(() => {
    if (!isDone) return;
    void client.invalidateQueries({ queryKey: ["tasks"], predicate: (query) => query.queryKey[1] !== id });
    void client.invalidateQueries({ queryKey: ["datasets"] });
    void client.invalidateQueries({ queryKey: ["sessions"] });
  }, [isDone, client, id]);
  if (!id) return null;
  return (
    <div role="status">
      <Load query={task} skeleton={<p className="quiet">{label}…</p>}>
        {(found) => {
          const error = found.error as Failed | null;
          if (found.state === "done") return done(found);
          if (found.state === "failed")
            return (
              <Note tone="bad" title={error?.message ?? "It failed, and does not say why."}>
                {error?.hint ? (
                  <p>
                    <Hint text={error.hint} />
                  </p>
                ) : null}
              </Note>
            );
          if (found.state === "canceled") return <Note title="It was canceled" />;
          return <Going task={found} label={label} />;
        }}
      </Load>
    </div>
  );
}

function Going({ task, label }: { task: Task; label: string }) {
  const stop = useStopTask();
  const progress = task.progress as Progress | null;
  const first = useRef<Seen | null>(null);
  const now = { done: progress?.done ?? 0, at: Date.now() };
  if (progress && (first.current === null || now.done < first.current.done)) first.current = now;
  const left = first.current ? secondsLeft(first.current, now, progress?.total) : null;
  return (
    <div className="stack">
      <div className="between">
        <p>
          {label}
          {progress ? `: ${progressWords(progress)}` : "…"}
          {left === null ? null : <span className="faint">, about {duration(Math.max(1, left))} left</span>}
        </p>
        <Button busy={stop.isPending} onClick={() => stop.mutate(task.id)}>
          Stop
        </Button>
      </div>
      <Meter label={label} share={progress?.total ? progress.done / progress.total : 0} />
      {stop.isError ? <FailureNote error={stop.error} title="It was not stopped" /> : null}
    </div>
  );
}
