import { useQuery, useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useEffect } from "react";
import type { Schema } from "../api/client";
import { taskQuery } from "../api/task";
import { number } from "../lib/format";
import { Hint } from "./failure";
import { Load } from "./load";
import { Meter, Note } from "./parts";

type Task = Schema<"TaskView">;
type Progress = { done: number; total?: number; unit?: string; message?: string };
type Failed = { message?: string; hint?: string };

/** How far a task is, what came of it, or why it failed. */
export function TaskState({ id, label, done }: { id: string; label: string; done: (task: Task) => ReactNode }) {
  const task = useQuery(taskQuery(id));
  const client = useQueryClient();
  const isDone = task.data?.state === "done";
  // What came of it is in the lists, even where no event said so.
  useEffect(() => {
    if (!isDone) return;
    void client.invalidateQueries({ queryKey: ["tasks"], predicate: (query) => query.queryKey[1] !== id });
    void client.invalidateQueries({ queryKey: ["datasets"] });
  }, [isDone, client, id]);
  if (!id) return null;
  return (
    <div role="status">
      <Load query={task} skeleton={<p className="quiet">{label}…</p>}>
        {(found) => {
          const progress = found.progress as Progress | null;
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
          return (
            <div className="stack">
              <p>
                {label}
                {progress
                  ? `: ${number(progress.done)}${progress.total ? ` of ${number(progress.total)}` : ""} ${progress.unit ?? ""}`
                  : "…"}
              </p>
              <Meter label={label} share={progress?.total ? progress.done / progress.total : 0} />
            </div>
          );
        }}
      </Load>
    </div>
  );
}
