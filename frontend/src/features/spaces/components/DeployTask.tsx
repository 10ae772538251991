import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { Link } from "react-router";
import type { Schema } from "../../../api/client";
import { sentence } from "../../../api/errors";
import { taskQuery } from "../../../api/task";
import { took } from "../../../lib/format";
import { paths } from "../../../lib/paths";
import { FailureNote, Hint } from "../../../ui/failure";
import { Load } from "../../../ui/load";
import { Button, Note } from "../../../ui/parts";
import { type Deployed, type Fitted, failureParts } from "../model";
import { useStopTask } from "../queries";

const steps = ["Model", "Files", "Build and start", "First answer"];

/** A deployment as it goes on: its steps, what came of it, or why not, with the lines of the log that say so. */
export function DeployTask({ id, what, clear }: { id: string; what: string; clear?: () => void }) {
  const task = useQuery(taskQuery(id));
  const stop = useStopTask();
  const client = useQueryClient();
  const state = task.data?.state;
  useEffect(() => {
    if (state !== "done" && state !== "failed" && state !== "canceled") return;
    for (const noun of ["spaces", "space", "next"]) void client.invalidateQueries({ queryKey: [noun] });
  }, [state, client]);
  return (
    <Load query={task} skeleton={<p className="quiet">{what}…</p>}>
      {(found) => {
        const progress = found.progress as { done: number; total?: number; message?: string } | null;
        const isOver = !["queued", "running"].includes(found.state);
        const done = found.state === "done" ? steps.length + 1 : (progress?.done ?? 0);
        return (
          <div className="stack">
            <ol className="timeline" aria-label="Steps">
              {steps.map((label, place) => {
                const step = place < done - (place === steps.length - 1 ? 1 : 0) ? "done" : "todo";
                const isNow = step === "todo" && !isOver && place === Math.min(done, steps.length - 1);
                const isBad = step === "todo" && found.state === "failed" && place === Math.min(done, steps.length - 1);
                return (
                  <li key={label} data-state={isBad ? "bad" : isNow ? "now" : step}>
                    <b>{label}</b>
                    <span className="faint">{isNow ? (progress?.message ?? "waiting") : ""}</span>
                  </li>
                );
              })}
            </ol>
            <div role="status">
              <Outcome task={found} what={what} />
            </div>
            {stop.isError ? <FailureNote error={stop.error} title="It was not stopped" /> : null}
            <div className="actions">
              {isOver ? (
                clear ? (
                  <Button onClick={clear}>Close this</Button>
                ) : null
              ) : (
                <Button kind="danger" busy={stop.isPending} onClick={() => stop.mutate(id)}>
                  Stop
                </Button>
              )}
            </div>
          </div>
        );
      }}
    </Load>
  );
}

function Fit({ fitted: { changed, measured, before, limits } }: { fitted: Fitted }) {
  const took = `${measured.requests} requests took ${measured.ms_per_token.toFixed(1)} ms a token.`;
  return changed ? (
    <Note tone="good" title="The limits fit now">
      <p>
        {took} A request gets {limits.max_gpu_seconds} s at most and {limits.ms_per_token} ms a token, instead of{" "}
        {before.max_gpu_seconds} s and {before.ms_per_token} ms.
      </p>
    </Note>
  ) : (
    <Note tone="good" title="The limits fit already">
      <p>{took} Nothing was changed.</p>
    </Note>
  );
}

function Outcome({ task, what }: { task: Schema<"TaskView">; what: string }) {
  const error = task.error as { message?: string; hint?: string } | null;
  switch (task.state) {
    case "done": {
      const fitted = task.result as Fitted | null;
      if (fitted?.measured) return <Fit fitted={fitted} />;
      const done = task.result as Deployed | null;
      const smoke = done?.smoke;
      return (
        <Note tone="good" title={smoke?.text ? "It runs, and answered its first question" : "It runs"}>
          {smoke?.text ? (
            <p>
              “{smoke.text}” <span className="faint">after {took(smoke.seconds ?? 0)}</span>
            </p>
          ) : null}
          {smoke?.why ? <p>It was not asked anything: {smoke.why}</p> : null}
          {done ? (
            <p>
              <Link to={paths.space(done.space_id)}>{done.space_id}</Link> serves {done.model_repo} at{" "}
              <code>{done.model_revision.slice(0, 12)}</code>.
            </p>
          ) : null}
        </Note>
      );
    }
    case "failed": {
      const { message, log } = failureParts(error?.message ?? "It failed, and does not say why.");
      return (
        <Note tone="bad" title={`${what} failed`}>
          <p>{sentence(message)}</p>
          {log.length > 0 ? (
            // biome-ignore lint/a11y/noNoninteractiveTabindex: what is cut off is read by scrolling with the keys
            <pre className="pre" tabIndex={0}>
              {log.join("\n")}
            </pre>
          ) : null}
          {error?.hint ? (
            <p>
              <Hint text={sentence(error.hint)} />
            </p>
          ) : null}
        </Note>
      );
    }
    case "canceled":
      return <Note title="It was stopped">A Space that was only half made is removed again.</Note>;
    default:
      return <p className="quiet">{what}. It goes on if you close this page; this address shows how far it is.</p>;
  }
}
