import { useQuery } from "@tanstack/react-query";
import { Link } from "react-router";
import { paths } from "../../../lib/paths";
import { FailureNote, Hint } from "../../../ui/failure";
import { Button, Meter, Note, Panel, Time } from "../../../ui/parts";
import { type Demo, demoStages, demoState } from "../model";
import { demoQuery, useStartDemo, useStopDemo } from "../queries";

/** The demo, once it was begun: how far it is, what came of it, or why it failed. It is there again after a reload. */
export function DemoPanel() {
  const demo = useQuery(demoQuery);
  const start = useStartDemo();
  const stop = useStopDemo();
  const run = demo.data?.run;
  if (!demo.data || !run) return null;
  const state = demoState(demo.data);
  return (
    <Panel
      title="The demo"
      actions={
        <>
          <Link className="button" to={paths.run(run.id)}>
            Look at its run
          </Link>
          {state.is === "going" ? (
            <Button busy={stop.isPending} onClick={() => stop.mutate(run.id)}>
              Stop it
            </Button>
          ) : null}
        </>
      }
    >
      {stop.isError ? <FailureNote error={stop.error} title="It was not stopped" /> : null}
      {start.isError ? <FailureNote error={start.error} title="It was not begun" /> : null}
      {state.is === "going" ? <Going demo={demo.data} /> : null}
      {state.is === "done" ? (
        <Note tone="good" title="A student was trained on the sample sessions, and answers">
          <p>
            <Link to={paths.run(run.id)}>What it answered, and how its loss fell</Link>. It was trained briefly, on a
            few made-up sessions: it shows the way, not what a student can do.
          </p>
        </Note>
      ) : null}
      {state.is === "failed" ? (
        <Note tone="bad" title={state.why}>
          {state.hint ? (
            <p>
              <Hint text={state.hint} />
            </p>
          ) : null}
        </Note>
      ) : null}
      {state.is === "stopped" ? <Note title="It was stopped" /> : null}
      {state.is === "going" || !demo.data.available ? null : (
        <div>
          <Button busy={start.isPending} onClick={() => start.mutate()}>
            Run the demo again
          </Button>
        </div>
      )}
    </Panel>
  );
}

function Going({ demo }: { demo: Demo }) {
  const { stages, at, share } = demoStages(demo);
  return (
    <div className="stack" role="status">
      <p>
        {stages[at]}
        <span className="faint">
          {" "}
          ({at + 1} of {stages.length}), begun {demo.run ? <Time at={demo.run.created_at} /> : null}. It goes on if you
          close this page.
        </span>
      </p>
      <Meter label="Stages of the demo that are done" share={share} />
    </div>
  );
}
