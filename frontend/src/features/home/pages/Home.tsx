import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { Link, useNavigate } from "react-router";
import { budgetQuery } from "../../../api/budget";
import { statusQuery } from "../../../api/status";
import { count, usd } from "../../../lib/format";
import { paths } from "../../../lib/paths";
import { FailureNote } from "../../../ui/failure";
import { Load } from "../../../ui/load";
import { MadeUpPrices } from "../../../ui/money";
import { Badge, Button, Copyable, Figure, Meter, PageHead, Panel, Skeleton, Time, type Tone } from "../../../ui/parts";
import { DemoPanel } from "../components/Demo";
import { isRunning, type LoopStep, loop, type StepId } from "../model";
import { datasetsQuery, runsQuery, sessionsQuery, useRunAll, useStartDemo, useStartHub } from "../queries";

const marks: Record<LoopStep["state"], { label: string; tone: Tone }> = {
  done: { label: "Done", tone: "good" },
  next: { label: "Next", tone: "accent" },
  later: { label: "Later", tone: "plain" },
  unknown: { label: "Not known", tone: "plain" },
};

export default function Home() {
  const status = useQuery(statusQuery);
  const isIn = status.data?.account.state === "signed_in";
  const sessions = useQuery(sessionsQuery);
  const datasets = useQuery({ ...datasetsQuery, enabled: isIn });
  const runs = useQuery(runsQuery);
  const waiting = status.isPending || sessions.isPending || runs.isPending || (isIn && datasets.isPending);
  const steps = loop({
    status: status.data ?? null,
    sessions: sessions.data ? sessions.data.items.length : null,
    datasets: datasets.data ? datasets.data.items.length : null,
    runs: runs.data?.items ?? null,
  });
  const next = steps.find((step) => step.state === "next");
  return (
    <div className="page">
      <PageHead title="Home" lead="What your coding agents did becomes a student model." />
      <section className="panel next" aria-label="What to do next">
        {waiting ? (
          <div className="next__body">
            <Skeleton lines={4} />
          </div>
        ) : status.isError ? (
          <div className="next__body">
            <FailureNote error={status.error} retry={() => void status.refetch()} />
          </div>
        ) : (
          <NextStep
            id={next?.id ?? null}
            sessions={sessions.data?.items.length ?? 0}
            more={Boolean(sessions.data?.next)}
            student={runs.data?.items.find((run) => run.state === "succeeded")?.model_repo ?? null}
            running={runs.data?.items.find(isRunning)?.id ?? null}
          />
        )}
        <ol className="steps">
          {steps.map((step, at) => (
            <li key={step.id} data-state={waiting ? "unknown" : step.state}>
              <span className="steps__at" aria-hidden="true">
                {step.state === "done" && !waiting ? "✓" : at + 1}
              </span>
              <span>{step.label}</span>
              <span className="sr">{waiting ? "" : marks[step.state].label}</span>
            </li>
          ))}
        </ol>
      </section>
      <DemoPanel />
      <div className="grid">
        <Panel title="Latest runs">
          <Load query={runs}>
            {(page) =>
              page.items.length === 0 ? (
                <p className="quiet">No run yet.</p>
              ) : (
                <ul className="stack">
                  {page.items.map((run) => (
                    <li key={run.id} className="between">
                      <span className="cut">
                        <Link to={run.job_id ? paths.job(run.job_id) : paths.run(run.id)}>{run.model_repo}</Link>
                        <span className="faint">
                          {" "}
                          <Time at={run.updated_at} />
                        </span>
                      </span>
                      <Badge
                        tone={
                          run.state === "succeeded"
                            ? "good"
                            : run.state === "failed"
                              ? "bad"
                              : isRunning(run)
                                ? "accent"
                                : "plain"
                        }
                      >
                        {run.state}
                      </Badge>
                    </li>
                  ))}
                </ul>
              )
            }
          </Load>
        </Panel>
        <Spent />
        <Panel title="This server">
          <Load query={status}>
            {(data) => (
              <>
                <p className="row">
                  {data.embedded
                    ? "Works on the embedded Hub of this machine"
                    : `Works on ${data.endpoint ?? "the Hub"}`}
                  {data.account.state === "signed_in" ? <Badge tone="good">as {data.account.namespace}</Badge> : null}
                </p>
                <p className="quiet">
                  {data.embedded ? "No account, no network and no bill. " : ""}
                  <Link to={paths.account()}>What you can do, and what it would take to do more</Link>
                </p>
              </>
            )}
          </Load>
        </Panel>
      </div>
    </div>
  );
}

function NextStep({
  id,
  sessions,
  more,
  student,
  running,
}: {
  id: StepId | null;
  sessions: number;
  more: boolean;
  student: string | null;
  running: string | null;
}) {
  const hub = useStartHub();
  const all = useRunAll();
  const demo = useStartDemo();
  const status = useQuery(statusQuery);
  const tryDemo = (
    <Button busy={demo.isPending} onClick={() => demo.mutate()}>
      Run the demo on sample sessions
    </Button>
  );
  const navigate = useNavigate();
  const runAll = (
    <Button
      kind="primary"
      busy={all.isPending}
      onClick={() => all.mutate(undefined, { onSuccess: ({ run }) => void navigate(`/train?run=${run.id}`) })}
    >
      Run the whole loop
    </Button>
  );
  if (running)
    return (
      <Next
        title="A run is under way"
        action={
          <Link className="button" data-kind="primary" to={`/train?run=${running}`}>
            Watch it
          </Link>
        }
      >
        It goes on if you close this page.
      </Next>
    );
  switch (id) {
    case "hub":
      return (
        <Next
          title="Start the Hub of this machine"
          error={hub.error ?? demo.error}
          action={
            <>
              <Button kind="primary" busy={hub.isPending} onClick={() => hub.mutate()}>
                Start the embedded Hub
              </Button>
              {status.data?.embedded ? tryDemo : null}
              <Link className="button" to={paths.settings()}>
                Use Hugging Face
              </Link>
            </>
          }
        >
          It takes a second, needs no account and costs nothing. With a token, the same pages work on Hugging Face.
        </Next>
      );
    case "sessions":
      return (
        <Next
          title="Bring sessions of your coding agents"
          error={demo.error}
          action={
            <>
              <Copyable text="bashgym up --root FOLDER" label="Copy the command" />
              {status.data?.embedded ? tryDemo : null}
            </>
          }
        >
          None were found where Claude Code, Codex, Gemini CLI, OpenCode and Copilot keep theirs. If yours are
          elsewhere, start the server with their folder.
          {status.data?.embedded
            ? " Or look at the whole way first: the demo trains a small student on made-up sessions, here, in minutes."
            : ""}
        </Next>
      );
    case "dataset":
      return (
        <Next
          title="Turn your sessions into a student"
          error={all.error}
          action={
            <>
              {runAll}
              <Link className="button" to={paths.datasets()}>
                Only build a dataset
              </Link>
            </>
          }
        >
          {more ? `More than ${count(sessions, "session")}` : count(sessions, "session")} were found here. The whole
          loop cleans them, takes secrets out, builds a dataset, trains a small student and lets it answer. What a job
          can cost is set aside first.
        </Next>
      );
    case "train":
      return (
        <Next
          title="Train a student"
          error={all.error}
          action={
            <Link className="button" data-kind="primary" to={paths.train()}>
              Plan a training
            </Link>
          }
        >
          A dataset is there. The plan says what a training takes and what it costs, before anything starts.
        </Next>
      );
    case "serve":
      return (
        <Next
          title="Serve your student"
          action={
            <>
              <Link
                className="button"
                data-kind="primary"
                to={paths.newSpace(student === null ? {} : { model: student })}
              >
                Serve it in a Space
              </Link>
              <Link className="button" to={paths.train()}>
                Train another
              </Link>
            </>
          }
        >
          {student ?? "A student"} is trained. A Space lets people try it. The gateway sends it the calls that it
          answers well enough.
        </Next>
      );
    default:
      return <Next title="All is set up">Look at what runs below.</Next>;
  }
}

const Next = ({
  title,
  action,
  error,
  children,
}: {
  title: string;
  action?: ReactNode;
  error?: unknown;
  children: ReactNode;
}) => (
  <div className="next__body">
    <h2>{title}</h2>
    <p className="page__lead">{children}</p>
    {error ? <FailureNote error={error} title="That did not work" /> : null}
    {action ? <div className="actions">{action}</div> : null}
  </div>
);

function Spent() {
  const budget = useQuery(budgetQuery);
  const status = useQuery(statusQuery);
  return (
    <Panel title="Spent this month">
      {status.data?.embedded ? <MadeUpPrices /> : null}
      <Load query={budget}>
        {(data) => {
          const all = data.used.find((one) => one.service === "all" && one.window === "month");
          const cap =
            data.caps.find((one) => one.service === "all" && one.window === "month") ??
            data.caps.find((one) => one.window === "month");
          const used = (all?.settled_micro_usd ?? 0) / 1e6;
          const aside = (all?.reserved_micro_usd ?? 0) / 1e6;
          return (
            <>
              <Figure label="By jobs, inference and Spaces" value={usd(used)}>
                {aside > 0 ? `and ${usd(aside)} set aside for what runs` : null}
                {all && all.unknown_entries > 0
                  ? `, and ${count(all.unknown_entries, "entry", "entries")} whose cost nobody knows`
                  : null}
              </Figure>
              {cap ? (
                <Meter
                  label={`Used of the cap of ${usd(cap.cap_micro_usd / 1e6)}`}
                  share={(used + aside) / (cap.cap_micro_usd / 1e6)}
                />
              ) : null}
              <p className="quiet">
                {cap
                  ? `Cap: ${usd(cap.cap_micro_usd / 1e6)} a ${cap.window} for ${cap.service}`
                  : "No cap is set: nothing stops spending but the Hub."}{" "}
                <Link to={paths.usage()}>{cap ? "Change it" : "Set one"}</Link>
              </p>
            </>
          );
        }}
      </Load>
    </Panel>
  );
}
