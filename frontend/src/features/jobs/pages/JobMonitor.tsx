import { useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { Link, useParams, useSearchParams } from "react-router";
import { budgetQuery } from "../../../api/budget";
import { dateTime, duration, usd, usdOf } from "../../../lib/format";
import { paths } from "../../../lib/paths";
import { Confirm } from "../../../ui/dialog";
import { FailureNote } from "../../../ui/failure";
import { Load } from "../../../ui/load";
import { Badge, Button, Fact, Facts, Figure, Meter, Note, PageHead, Panel, Skeleton, Time } from "../../../ui/parts";
import { LogView } from "../components/LogView";
import { TrainingMetrics, TrainingProgress, useMetrics } from "../components/TrainingMetrics";
import { fetchJobLines, findJobLines } from "../log";
import { hubOf, intentOf, type Job, jobCan, stageWords, timeline, trainConfigOf } from "../model";
import { attemptsQuery, jobQuery, jobRunQuery, runCostQuery, useCancelJob } from "../queries";

export default function JobMonitor() {
  const id = useParams()["*"] ?? "";
  const query = useQuery(jobQuery(id));
  return (
    <div className="page">
      <Load
        query={query}
        skeleton={
          <div className="page">
            <PageHead title={`Job ${id}`} />
            <Skeleton lines={10} />
          </div>
        }
      >
        {(job) => <Monitor key={job.id} job={job} />}
      </Load>
    </div>
  );
}

function Monitor({ job }: { job: Job }) {
  const [search, setSearch] = useSearchParams();
  const fetchLines = useMemo(() => fetchJobLines(job.id), [job.id]);
  const findLines = useMemo(() => findJobLines(job.id), [job.id]);
  const config = trainConfigOf(job);
  const intent = intentOf(job);
  const told = useMetrics(job.id, fetchLines, job.is_over);
  const words = stageWords(job.stage);
  const hub = hubOf(job);
  const [asking, setAsking] = useState(false);
  const cancel = useCancelJob(job.id);
  const line = Number(search.get("line")) || null;
  const again = { ...(config?.dataset_repo ? { dataset: config.dataset_repo } : {}), from: job.id };
  return (
    <>
      <PageHead
        title={config ? `Training ${config.model_repo ?? ""}` : `Job ${job.id}`}
        lead={
          <span className="row">
            <Badge tone={words.tone}>{words.label}</Badge>
            <code>{job.id}</code>
            <span>{job.running_seconds === null ? null : `ran ${duration(job.running_seconds)}`}</span>
          </span>
        }
      >
        {jobCan.cancel(job) ? (
          <Button kind="danger" onClick={() => setAsking(true)}>
            Cancel job
          </Button>
        ) : null}
        {jobCan.runAgain(job) && config ? (
          <Link className="button" data-kind="primary" to={paths.train(again)}>
            Resume from here
          </Link>
        ) : null}
      </PageHead>
      <Ending job={job} />
      <Panel title="Stages">
        <ol className="timeline">
          {timeline(job).map((step) => (
            <li key={step.label} data-state={step.state}>
              <b>{step.label}</b>
              <span className="faint">
                {step.at ? <time dateTime={step.at}>{dateTime(step.at)}</time> : step.state === "now" ? "now" : "–"}
              </span>
            </li>
          ))}
        </ol>
      </Panel>
      <div className="split">
        <div className="stack">
          {config || told.metrics.series.size > 0 ? (
            <Panel title="Training">
              <TrainingProgress metrics={told.metrics} version={told.version} over={job.is_over} />
              <TrainingMetrics {...told} />
            </Panel>
          ) : null}
          <Panel title="Log" flush>
            <LogView
              id={job.id}
              fetchLines={fetchLines}
              findLines={findLines}
              over={job.is_over}
              line={line}
              showLine={(wanted) =>
                setSearch(
                  (now) => {
                    if (wanted === null) now.delete("line");
                    else now.set("line", String(wanted));
                    return now;
                  },
                  { replace: true },
                )
              }
            />
          </Panel>
        </div>
        <div className="stack">
          {intent ? <Cost run={intent.run} attempt={intent.attempt} owner={hub.owner?.name} /> : null}
          {intent ? <Attempts run={intent.run} current={job.id} /> : null}
          {told.metrics.checkpoints.length > 0 ? (
            <Panel title="Checkpoints">
              <ol className="stack">
                {told.metrics.checkpoints.slice(-8).map((mark) => (
                  <li key={mark.label} className="row">
                    <span>{mark.label}</span>
                    {mark.at ? (
                      <span className="faint">
                        <Time at={mark.at} />
                      </span>
                    ) : null}
                  </li>
                ))}
              </ol>
            </Panel>
          ) : null}
          <Panel title="What was sent">
            <Facts>
              <Fact label="Command">
                <code>{(hub.command ?? []).join(" ") || "–"}</code>
              </Fact>
              <Fact label="Image">
                <code>{hub.dockerImage ?? hub.spaceId ?? "–"}</code>
              </Fact>
              <Fact label="Hardware">
                <code>{job.flavor}</code>
              </Fact>
              {hub.timeout ? <Fact label="Ends after">{duration(hub.timeout)}</Fact> : null}
              {config?.dataset_repo ? (
                <Fact label="Dataset">
                  <Link to={paths.dataset(config.dataset_repo)}>{config.dataset_repo}</Link>
                </Fact>
              ) : null}
              {hub.secrets && hub.secrets.length > 0 ? (
                <Fact label="Secrets">{hub.secrets.join(", ")}, encrypted</Fact>
              ) : null}
              <Fact label="Address">
                <a href={job.url} rel="noreferrer">
                  Open it on the Hub
                </a>
              </Fact>
            </Facts>
          </Panel>
        </div>
      </div>
      <Confirm
        title="Cancel this job?"
        open={asking}
        close={() => setAsking(false)}
        action="Cancel the job"
        run={() => cancel.mutateAsync()}
      >
        <p>
          Job <code>{job.id}</code> on <code>{job.flavor}</code> ends now. What it has run so far is billed to{" "}
          <b>{hub.owner?.name ?? "its namespace"}</b>; nothing more is.
        </p>
        {told.metrics.progress ? (
          <p>
            It is at step {told.metrics.progress.step}. Its last checkpoint stays in the output repository, and another
            attempt goes on from there.
          </p>
        ) : null}
      </Confirm>
    </>
  );
}

/** Why a job ended otherwise than it should, and what to do. */
function Ending({ job }: { job: Job }) {
  const intent = intentOf(job);
  const run = useQuery({
    ...jobRunQuery(intent?.run ?? ""),
    enabled: intent !== null && job.is_over && job.stage !== "COMPLETED",
  });
  if (!job.is_over || job.stage === "COMPLETED") return null;
  const detail = run.data?.detail as { reason?: string; cause?: string } | undefined;
  const byRun = detail?.reason && !(job.message && detail.reason.includes(job.message)) ? detail.reason : null;
  return (
    <div role="alert">
      <Note
        tone={job.stage === "ERROR" ? "bad" : "warn"}
        title={job.stage === "ERROR" ? "This job failed" : "This job did not finish"}
      >
        <p>{job.message ?? byRun ?? "The Hub gives no reason. The last lines of the log often do."}</p>
        {job.message && byRun ? <p>{byRun}</p> : null}
        {detail?.cause && detail.cause !== "unknown" ? <p>Cause: {detail.cause.replaceAll("_", " ")}</p> : null}
        <p className="quiet">
          Nothing is lost: the dataset stays on the Hub, and another attempt goes on from the last checkpoint there is.
        </p>
      </Note>
    </div>
  );
}

function Cost({ run, attempt, owner }: { run: string; attempt: number; owner: string | undefined }) {
  const query = useQuery(runCostQuery(run));
  const budget = useQuery(budgetQuery);
  return (
    <Panel title="Cost">
      <Load query={query}>
        {(page) => {
          const entry = page.items.find((one) => one.key === `${run}.${attempt}`);
          if (!entry) return <p className="quiet">This server set nothing aside for this job.</p>;
          const worst = usdOf(entry.worst_micro_usd);
          const cost = usdOf(entry.cost_micro_usd);
          const cap = budget.data?.caps.find((one) => one.service === "jobs" && one.cap_micro_usd > 0);
          return (
            <>
              <div className="figures">
                <Figure
                  label={entry.state === "settled" ? "Cost" : "So far"}
                  value={entry.state === "reserved" ? "open" : usd(cost)}
                >
                  {owner ? `billed to ${owner}` : null}
                </Figure>
                <Figure label="At most" value={usd(worst)}>
                  {entry.state === "reserved" ? "set aside" : "was set aside"}
                </Figure>
              </div>
              {worst && cost !== null ? <Meter label="Cost against the most it can cost" share={cost / worst} /> : null}
              {cap && cap.left_micro_usd !== null ? (
                <p className="faint">
                  {usd(usdOf(cap.left_micro_usd))} left of the {cap.window} cap of {usd(usdOf(cap.cap_micro_usd))}
                </p>
              ) : (
                <p className="faint">
                  No cap is set. <Link to={paths.usage()}>Set one</Link>
                </p>
              )}
            </>
          );
        }}
      </Load>
      {budget.isError ? <FailureNote error={budget.error} /> : null}
    </Panel>
  );
}

function Attempts({ run, current }: { run: string; current: string }) {
  const query = useQuery(attemptsQuery(run));
  return (
    <Panel title="Attempts">
      <Load query={query}>
        {(page) => (
          <ol className="stack">
            {page.items.map((job) => {
              const words = stageWords(job.stage);
              return (
                <li key={job.id} className="row">
                  <span>{intentOf(job)?.attempt ?? 1}.</span>
                  <Badge tone={words.tone}>{words.label}</Badge>
                  {job.id === current ? <span>this one</span> : <Link to={paths.job(job.id)}>{job.id}</Link>}
                  <span className="faint">{job.created_at ? <Time at={job.created_at} /> : null}</span>
                </li>
              );
            })}
          </ol>
        )}
      </Load>
      <Link to={paths.run(run)}>The run it belongs to</Link>
    </Panel>
  );
}
