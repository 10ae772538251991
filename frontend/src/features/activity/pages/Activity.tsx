import { useInfiniteQuery, useQuery, useQueryClient } from "@tanstack/react-query";
import { useCallback, useState } from "react";
import { Link, useSearchParams } from "react-router";
import { covers, type LiveEvent, useLive } from "../../../api/live";
import { clockTime, dateTime, number } from "../../../lib/format";
import { Confirm } from "../../../ui/dialog";
import { Hint } from "../../../ui/failure";
import { Load } from "../../../ui/load";
import { Badge, Button, Meter, Note, PageHead, Panel, Skeleton, Tabs, Time } from "../../../ui/parts";
import { toast } from "../../../ui/toasts";
import {
  aboutOf,
  detailOf,
  eventName,
  gather,
  isGoing,
  isNoise,
  type Kind,
  kinds,
  taskName,
  taskTone,
  toneOf,
} from "../model";
import { eventsQuery, tasksQuery, useStopTask } from "../queries";

export default function Activity() {
  return (
    <div className="page">
      <PageHead title="Activity" lead="What this server did, as it remembers it; new events come by themselves." />
      <div className="split">
        <Events />
        <Tasks />
      </div>
    </div>
  );
}

function Events() {
  const [search, setSearch] = useSearchParams();
  const asked = search.get("of");
  const kind = kinds.find((one) => one.id === asked) ?? kinds[0];
  const events = useQuery(eventsQuery(kind.topics));
  const client = useQueryClient();
  const hear = useCallback(
    (event: LiveEvent) => {
      if (isNoise(event) || !kind.topics.split(",").some((wanted) => covers(wanted, event.topic))) return;
      client.setQueryData(eventsQuery(kind.topics).queryKey, (log) =>
        log ? { ...log, events: gather(log.events, [event]) } : log,
      );
    },
    [client, kind],
  );
  const resync = useCallback(() => void client.invalidateQueries({ queryKey: ["activity"] }), [client]);
  useLive("*", hear, resync);
  return (
    <Panel title="Events" flush>
      <Tabs<Kind>
        label="Of what"
        tabs={kinds}
        chosen={kind.id}
        choose={(id) => setSearch(id === "all" ? {} : { of: id }, { replace: true })}
      />
      <Load
        query={events}
        skeleton={
          <div className="panel__body">
            <Skeleton lines={12} />
          </div>
        }
      >
        {({ events: list, hasMore }) =>
          list.length === 0 ? (
            <div className="panel__body">
              <p className="quiet">Nothing happened yet.</p>
            </div>
          ) : (
            <>
              {hasMore ? (
                <div className="panel__body">
                  <Note tone="warn" title="The log is longer than this page reads">
                    <p>These are not its latest events. Choose one kind to see less.</p>
                  </Note>
                </div>
              ) : null}
              <div className="scroll">
                <table className="table">
                  <thead>
                    <tr>
                      <th scope="col">When</th>
                      <th scope="col">What</th>
                      <th scope="col">Of</th>
                    </tr>
                  </thead>
                  <tbody>
                    {list.map((event) => {
                      const about = aboutOf(event);
                      return (
                        <tr key={event.seq}>
                          <td>
                            <time dateTime={event.time} title={dateTime(event.time)}>
                              {clockTime(event.time)}
                            </time>
                          </td>
                          <td>
                            <span className="row">
                              <Badge tone={toneOf(event.type)}>{eventName(event.type)}</Badge>
                              <span className="faint">{detailOf(event).join(", ")}</span>
                            </span>
                          </td>
                          <td>{about ? <Link to={about.to}>{about.label}</Link> : null}</td>
                        </tr>
                      );
                    })}
                  </tbody>
                </table>
              </div>
            </>
          )
        }
      </Load>
    </Panel>
  );
}

type Progress = { done: number; total?: number; unit?: string };
type Failed = { message?: string; hint?: string };

function Tasks() {
  const tasks = useInfiniteQuery(tasksQuery);
  const stop = useStopTask();
  const [stopping, setStopping] = useState<string | null>(null);
  return (
    <Panel title="Tasks">
      <Load query={tasks} skeleton={<Skeleton lines={6} />}>
        {(data) => {
          const list = data.pages.flatMap((page) => page.items);
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
                        <span className="faint">
                          {number(progress.done)} of {number(progress.total)} {progress.unit}
                        </span>
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
      {tasks.hasNextPage ? (
        <div>
          <Button busy={tasks.isFetchingNextPage} onClick={() => void tasks.fetchNextPage()}>
            Show more
          </Button>
        </div>
      ) : null}
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
