import { useInfiniteQuery, useQueryClient } from "@tanstack/react-query";
import { useCallback, useState } from "react";
import { Link, useSearchParams } from "react-router";
import { covers, type LiveEvent, useLive } from "../../../api/live";
import { useStopTask } from "../../../api/task";
import { clockTime, dateTime, day } from "../../../lib/format";
import { Confirm } from "../../../ui/dialog";
import { Hint } from "../../../ui/failure";
import { Load } from "../../../ui/load";
import { itemsOf, ShowMore } from "../../../ui/more";
import { Badge, Button, Meter, Note, PageHead, Panel, Skeleton, Tabs, Time } from "../../../ui/parts";
import { type Progress, progressWords } from "../../../ui/task";
import { toast } from "../../../ui/toasts";
import {
  aboutOf,
  deedOf,
  deeds,
  detailOf,
  eventName,
  gather,
  isGoing,
  isNoise,
  kinds,
  taskName,
  taskTone,
  toneOf,
  withNew,
} from "../model";
import { eventsQuery, tasksQuery } from "../queries";

const views = [
  { id: "events", label: "What happened" },
  { id: "audit", label: "Audit" },
] as const;

export default function Activity() {
  const [search, setSearch] = useSearchParams();
  const view = search.get("view") === "audit" ? "audit" : "events";
  const choices: readonly Choice[] = view === "audit" ? deeds : kinds;
  const asked = search.get("of");
  const choice = choices.find((one) => one.id === asked) ?? choices[0];
  const go = (view: string, of: string) =>
    setSearch({ ...(view === "audit" ? { view } : {}), ...(of === "all" ? {} : { of }) }, { replace: true });
  return (
    <div className="page">
      <PageHead
        title="Activity"
        lead="What this server did, as it remembers it: for a week, and the latest 10,000 events in any case. New ones come by themselves."
      />
      <div className="split">
        <Panel title="Events" flush>
          <Tabs label="What is shown" tabs={views} chosen={view} choose={(id) => go(id, "all")} />
          <Tabs label="Of what" tabs={choices} chosen={choice?.id ?? "all"} choose={(id) => go(view, id)} />
          <Events topics={choice?.topics ?? "*"} audit={view === "audit"} />
        </Panel>
        <Tasks />
      </div>
    </div>
  );
}

type Choice = { id: string; label: string; topics: string };

function Events({ topics, audit }: { topics: string; audit: boolean }) {
  const options = eventsQuery(topics);
  const events = useInfiniteQuery(options);
  const client = useQueryClient();
  const hear = useCallback(
    (event: LiveEvent) => {
      if (isNoise(event) || !topics.split(",").some((wanted) => covers(wanted, event.topic))) return;
      client.setQueryData(eventsQuery(topics).queryKey, (log) =>
        log ? { ...log, pages: withNew(log.pages, event) } : log,
      );
    },
    [client, topics],
  );
  const resync = useCallback(() => void client.invalidateQueries({ queryKey: ["activity"] }), [client]);
  useLive("*", hear, resync);
  return (
    <>
      <Load
        query={events}
        skeleton={
          <div className="panel__body">
            <Skeleton lines={12} />
          </div>
        }
      >
        {(data) => {
          const list = gather(data.pages.flatMap((page) => page.events));
          if (list.length === 0)
            return (
              <div className="panel__body">
                <p className="quiet">
                  {audit ? "Nothing of this kind was done from here yet." : "Nothing happened yet."}
                </p>
              </div>
            );
          return (
            <div className="scroll">
              <table className="table table--stack">
                <thead>
                  <tr>
                    <th scope="col">When</th>
                    <th scope="col">What</th>
                    <th scope="col">Of</th>
                  </tr>
                </thead>
                <tbody>
                  {list.map((event) =>
                    audit ? <Deed key={event.seq} event={event} /> : <Happened key={event.seq} event={event} />,
                  )}
                </tbody>
              </table>
            </div>
          );
        }}
      </Load>
      <ShowMore query={events} flush />
    </>
  );
}

const When = ({ at }: { at: string }) => (
  <td className="nowrap">
    <time dateTime={at} title={dateTime(at)}>
      {clockTime(at)}
    </time>
    <div className="faint">{day(at)}</div>
  </td>
);

function Happened({ event }: { event: LiveEvent }) {
  const about = aboutOf(event);
  return (
    <tr>
      <When at={event.time} />
      <td>
        <span className="row">
          <Badge tone={toneOf(event.type)}>{eventName(event.type)}</Badge>{" "}
          <span className="faint">{detailOf(event).join(", ")}</span>
        </span>
      </td>
      <td>{about ? <Link to={about.to}>{about.label}</Link> : null}</td>
    </tr>
  );
}

function Deed({ event }: { event: LiveEvent }) {
  const { did, tone, what, of } = deedOf(event);
  return (
    <tr>
      <When at={event.time} />
      <td>
        <span className="row">
          <Badge tone={tone}>{did}</Badge> <span>{what}</span>
        </span>
      </td>
      <td>
        <span className="mono">{of}</span>
      </td>
    </tr>
  );
}

type Failed = { message?: string; hint?: string };

function Tasks() {
  const tasks = useInfiniteQuery(tasksQuery);
  const stop = useStopTask();
  const [stopping, setStopping] = useState<string | null>(null);
  return (
    <Panel title="Tasks">
      <Load query={tasks} skeleton={<Skeleton lines={6} />}>
        {(data) => {
          const list = itemsOf(data);
          if (list.length === 0) return <p className="quiet">This server was given no task yet.</p>;
          return (
            <ul className="stack">
              {list.map((task) => {
                const progress = task.progress as Progress | null;
                const error = task.error as Failed | null;
                return (
                  <li key={task.id} className="stack">
                    <span className="between">
                      <span>
                        {taskName(task.kind)}
                        <div className="faint">
                          <Time at={task.created_at} />
                        </div>
                      </span>
                      <span className="actions">
                        <Badge tone={taskTone(task.state)}>{task.state}</Badge>
                        {isGoing(task.state) ? (
                          <Button aria-label={`Stop: ${taskName(task.kind)}`} onClick={() => setStopping(task.id)}>
                            Stop
                          </Button>
                        ) : null}
                      </span>
                    </span>
                    {isGoing(task.state) && progress?.total ? (
                      <>
                        <Meter label={taskName(task.kind)} share={progress.done / progress.total} />
                        <span className="faint">{progressWords(progress)}</span>
                      </>
                    ) : null}
                    {error ? (
                      <Note tone="bad" title={error.message ?? "It does not say why it failed."}>
                        {error.hint ? (
                          <p>
                            <Hint text={error.hint} />
                          </p>
                        ) : null}
                      </Note>
                    ) : null}
                  </li>
                );
              })}
            </ul>
          );
        }}
      </Load>
      <ShowMore query={tasks} />
      <Confirm
        title="Stop this task?"
        open={stopping !== null}
        close={() => setStopping(null)}
        action="Stop it"
        run={async () => {
          if (!stopping) return;
          await stop.mutateAsync(stopping);
          toast("The task was asked to stop");
        }}
      >
        <p>What it did until now stays as it is.</p>
      </Confirm>
    </Panel>
  );
}
