import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useParams } from "react-router";
import { dateTime, duration, number, usd } from "../../../lib/format";
import { paths } from "../../../lib/paths";
import { Confirm } from "../../../ui/dialog";
import { Load } from "../../../ui/load";
import { Badge, Button, Copyable, Fact, Facts, Note, PageHead, Panel, Skeleton, Time } from "../../../ui/parts";
import { toast } from "../../../ui/toasts";
import { isOver, lineageOf, type Run, samplesOf, stagesOf, stateWords, whyFailed } from "../model";
import { runCostQuery, runEventsQuery, runQuery, useCancelRun } from "../queries";

const stageStates = { todo: "not begun", now: "going on", done: "done", bad: "did not end well" } as const;

export default function RunDetail() {
  const id = useParams()["*"] ?? "";
  const run = useQuery(runQuery(id));
  return (
    <div className="page">
      {run.data ? null : <PageHead title="Run" lead={<span className="mono">{id}</span>} />}
      <Load query={run} skeleton={<Skeleton lines={10} />}>
        {(found) => <Shown run={found} />}
      </Load>
    </div>
  );
}

function Shown({ run }: { run: Run }) {
  const events = useQuery(runEventsQuery(run.id));
  const cost = useQuery(runCostQuery(run.id));
  const cancel = useCancelRun(run.id);
  const [asking, setAsking] = useState(false);
  const state = stateWords(run.state);
  const line = lineageOf(run);
  const failed = whyFailed(run);
  return (
    <>
      <PageHead
        title={run.model_repo}
        lead={
          <span className="row">
            <Badge tone={state.tone}>{state.label}</Badge> <Time at={run.updated_at} />
          </span>
        }
      >
        {isOver(run.state) ? null : (
          <Button kind="danger" onClick={() => setAsking(true)}>
            Cancel run
          </Button>
        )}
        {run.state === "failed" ? (
          <Link className="button" to={paths.train({ dataset: run.dataset_repo })}>
            Train on its dataset
          </Link>
        ) : null}
      </PageHead>
      {failed ? (
        <Note tone="bad" title={failed.stage ? `This run failed at the stage "${failed.stage}"` : "This run failed"}>
          <p>{failed.reason}</p>
          <p>What was done stays. The same command takes it up where it stopped:</p>
          <Copyable text="bashgym run" label="Copy the command" />
        </Note>
      ) : null}
      <Panel title="Stages">
        <Load query={events} skeleton={<Skeleton lines={3} />}>
          {(told) => (
            <ol className="timeline">
              {stagesOf(told, run.state).map((stage) => (
                <li key={stage.id} data-state={stage.state}>
                  <b>{stage.label}</b>
                  <span className="faint">{stageStates[stage.state]}</span>
                  {stage.facts.map(([name, value]) => (
                    <span key={name} className="faint">
                      {typeof value !== "number" ? value : name ? `${number(value)} ${name}` : duration(value)}
                    </span>
                  ))}
                </li>
              ))}
            </ol>
          )}
        </Load>
      </Panel>
      <div className="split split--even">
        <Panel title="What came of what">
          <Facts>
            <Fact label="Sessions">
              {line.sessions === null ? "not read yet" : number(line.sessions)}
              {line.inputs.map((input) => (
                <div key={input} className="faint mono">
                  {input}
                </div>
              ))}
            </Fact>
            <Fact label="Dataset">
              <Link to={paths.dataset(line.dataset)}>{line.dataset}</Link>
              {line.rows === null ? null : <div className="faint">{number(line.rows)} rows to train on</div>}
              <div className="faint mono">{line.datasetRevision ?? "no commit yet"}</div>
            </Fact>
            <Fact label="Job">
              {line.job ? (
                <Link className="mono" to={paths.job(line.job)}>
                  {line.job}
                </Link>
              ) : (
                "not sent yet"
              )}
            </Fact>
            <Fact label="Student">
              {line.model}
              <div className="faint mono">{line.modelRevision ?? "no commit yet"}</div>
            </Fact>
            <Fact label="Begun">{dateTime(run.created_at)}</Fact>
            <Fact label="Run">
              <span className="mono">{run.id}</span>
            </Fact>
          </Facts>
        </Panel>
        <Panel title="What it gave">
          <Facts>
            <Fact label="Loss on held-out rows">
              {line.lossBefore === null || line.lossAfter === null
                ? "not measured yet"
                : `${number(line.lossBefore, 4)} before, ${number(line.lossAfter, 4)} after`}
            </Fact>
            <Fact label="Cost">
              <Load query={cost} skeleton={<Skeleton lines={1} />}>
                {({ items }) => {
                  if (items.length === 0) return "nothing was set aside";
                  const open = items.filter((entry) => entry.state === "reserved").length;
                  const isUnknown = items.some((entry) => entry.state === "settled" && entry.cost_micro_usd === null);
                  const sum = items.reduce((all, entry) => all + (entry.cost_micro_usd ?? 0), 0) / 1e6;
                  return (
                    <>
                      {isUnknown ? `at least ${usd(sum)}: a price is unknown` : usd(sum)}
                      {open ? <div className="faint">{number(open)} still open</div> : null}
                    </>
                  );
                }}
              </Load>
            </Fact>
          </Facts>
          {samplesOf(events.data ?? []).map((sample) => (
            <figure key={sample.prompt} className="stack">
              <figcaption className="faint">Asked: {sample.prompt}</figcaption>
              {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what is cut off is read by scrolling with the keys */}
              <pre className="pre" tabIndex={0}>
                {sample.completion}
              </pre>
            </figure>
          ))}
        </Panel>
      </div>
      <Confirm
        title="Cancel this run?"
        open={asking}
        close={() => setAsking(false)}
        action="Cancel the run"
        run={async () => {
          await cancel.mutateAsync();
          toast("The run is canceled");
        }}
      >
        <p>Its job ends on the Hub, and what it cost until then is billed. The dataset stays.</p>
      </Confirm>
    </>
  );
}
