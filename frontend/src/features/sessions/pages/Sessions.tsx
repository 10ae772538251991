import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useSearchParams } from "react-router";
import { intentKey } from "../../../api/client";
import { bytes, count, number } from "../../../lib/format";
import { paths } from "../../../lib/paths";
import { FailureNote } from "../../../ui/failure";
import { Load } from "../../../ui/load";
import { itemsOf, ShowMore } from "../../../ui/more";
import { Badge, Button, Copyable, Empty, Field, Meter, Note, PageHead, Panel, Skeleton, Time } from "../../../ui/parts";
import { TaskState } from "../../../ui/task";
import { agentName, byAgent, cutPath, isName, qualityOf } from "../model";
import { archiveQuery, lastBuildsQuery, sessionsQuery, useBuild, useImport, useKeep } from "../queries";

export default function Sessions() {
  const [search] = useSearchParams();
  const path = search.get("path") ?? "";
  return (
    <div className="page">
      <PageHead
        title="Sessions"
        lead="What your coding agents left on this machine. Nothing is sent anywhere by looking."
      />
      <div className="split">
        <List path={path} />
        <div className="stack">
          <Import path={path} />
          <Build path={path} />
          <QualityPanel />
          <Keep path={path} />
        </div>
      </div>
    </div>
  );
}

function List({ path }: { path: string }) {
  const [, setSearch] = useSearchParams();
  const [text, setText] = useState(path);
  const sessions = useInfiniteQuery(sessionsQuery(path));
  return (
    <Panel title="On this machine" flush>
      <div className="panel__body">
        <form
          className="row"
          onSubmit={(event) => {
            event.preventDefault();
            setSearch(text.trim() ? { path: text.trim() } : {});
          }}
        >
          <label className="sr" htmlFor="path">
            Only this folder
          </label>
          <input
            id="path"
            className="input mono sessions__path"
            placeholder="Only this folder; empty for the agents' own"
            value={text}
            spellCheck={false}
            onChange={(event) => setText(event.target.value)}
          />
          <Button type="submit">Look there</Button>
        </form>
      </div>
      <Load
        query={sessions}
        skeleton={
          <div className="panel__body">
            <Skeleton lines={10} />
          </div>
        }
      >
        {(data) => {
          const list = itemsOf(data);
          if (list.length === 0)
            return (
              <Empty title={path ? "No session in this folder" : "No session on this machine"}>
                <p>Logs that are elsewhere are read when their folder is named at the start:</p>
                <Copyable text="bashgym up --root ~/logs" label="Copy the command" />
              </Empty>
            );
          return (
            <>
              <div className="panel__body">
                <span className="row">
                  {byAgent(list).map(([agent, found]) => (
                    <Badge key={agent}>
                      {agent}: {number(found)}
                    </Badge>
                  ))}
                  {sessions.hasNextPage ? <span className="faint">of those shown</span> : null}
                </span>
              </div>
              <div className="scroll">
                <table className="table table--stack">
                  <thead>
                    <tr>
                      <th scope="col">Session</th>
                      <th scope="col" className="num">
                        Prompts
                      </th>
                      <th scope="col" className="num">
                        Calls
                      </th>
                      <th scope="col" className="num">
                        Size
                      </th>
                      <th scope="col">Begun</th>
                    </tr>
                  </thead>
                  <tbody>
                    {list.map((one) => {
                      const { folder, name } = cutPath(one.file);
                      return (
                        <tr key={`${one.file}#${one.session_id ?? ""}`}>
                          <td className="table__main">
                            <Link
                              className="mono line"
                              to={paths.session(one.file, { id: one.session_id })}
                              title={one.file}
                            >
                              {one.session_id ?? name}
                            </Link>
                            <div className="faint line">
                              {agentName(one.agent)} · {one.session_id ? name : (folder.split("/").at(-2) ?? folder)}
                            </div>
                          </td>
                          <td className="num nowrap" data-label="Prompts">
                            {one.held ? number(one.held.prompts) : "–"}
                          </td>
                          <td className="num nowrap" data-label="Calls">
                            {one.held ? <Calls of={one.held} /> : "–"}
                          </td>
                          <td className="num nowrap" data-label="Size">
                            {bytes(one.size_bytes)}
                          </td>
                          <td className="nowrap" data-label="Begun">
                            {one.started_at ? <Time at={one.started_at} brief /> : "–"}
                          </td>
                        </tr>
                      );
                    })}
                  </tbody>
                </table>
              </div>
            </>
          );
        }}
      </Load>
      <ShowMore query={sessions} flush />
    </Panel>
  );
}

/** Calls of tools, and how many of them failed. */
const Calls = ({ of }: { of: { tool_calls: number; tool_errors: number } }) => (
  <>
    {number(of.tool_calls)}
    {of.tool_errors > 0 ? <div className="faint">{number(of.tool_errors)} failed</div> : null}
  </>
);

type Imported = {
  sessions?: number;
  prompts?: number;
  tool_calls?: number;
  bytes?: number;
  problems?: number;
  problems_listed?: Unread[];
};

/** Long work on the sessions of this page. The address knows its task: a page that is loaded again finds it. */
function useWork(name: string, path: string, start: ReturnType<typeof useImport>) {
  const [params, setParams] = useSearchParams();
  const [key, setKey] = useState(intentKey);
  const begin = () =>
    start.mutate(
      { key, ...(path ? { paths: [path] } : {}) },
      {
        onSuccess: (task) => {
          setKey(intentKey());
          setParams({ ...(path ? { path } : {}), [name]: task.id }, { replace: true });
        },
      },
    );
  return { id: params.get(name) ?? "", begin };
}

function Import({ path }: { path: string }) {
  const start = useImport();
  const { id, begin } = useWork("import", path, start);
  return (
    <Panel title="Import">
      <p className="quiet">
        {path ? `Each session below ${path}` : "Each session of your agents"} is read once, and what it holds is
        remembered: prompts, calls, tokens. Nothing is sent anywhere.
      </p>
      {start.isError ? <FailureNote error={start.error} title="It was not begun" /> : null}
      <div>
        <Button busy={start.isPending} onClick={begin}>
          Import
        </Button>
      </div>
      <TaskState
        id={id}
        label="Reading"
        done={(task) => {
          const read = task.result as Imported | null;
          return (
            <>
              <Note tone="good" title={`${count(read?.sessions ?? 0, "session")} imported`}>
                <p>
                  {count(read?.prompts ?? 0, "prompt")}, {count(read?.tool_calls ?? 0, "call")} of tools,{" "}
                  {bytes(read?.bytes ?? 0)} read.
                </p>
              </Note>
              <DidNotRead count={read?.problems ?? 0} listed={read?.problems_listed ?? []} />
            </>
          );
        }}
      />
    </Panel>
  );
}

/** What came of keeping the originals. */
type KeptNow = {
  files: number;
  new: number;
  grown: number;
  rewritten: number;
  failed: number;
  problems_listed: Unread[];
};

function Keep({ path }: { path: string }) {
  const start = useKeep();
  const archive = useQuery(archiveQuery);
  const { id, begin } = useWork("keep", path, start);
  const kept = archive.data;
  return (
    <Panel title="Keep the originals">
      <p className="quiet">
        Agents delete their logs, some after a month. A compressed copy stays in Bash Gym's folder on this machine.
      </p>
      {kept?.archived_at ? (
        <p>
          {count(kept.files, "file")} kept, {bytes(kept.size_bytes)}; the last <Time at={kept.archived_at} />.
        </p>
      ) : null}
      {start.isError ? <FailureNote error={start.error} title="It was not begun" /> : null}
      <div>
        <Button busy={start.isPending} onClick={begin}>
          Keep a copy
        </Button>
      </div>
      <TaskState
        id={id}
        label="Keeping"
        done={(task) => {
          const now = task.result as KeptNow | null;
          const changed = (now?.new ?? 0) + (now?.grown ?? 0) + (now?.rewritten ?? 0);
          return (
            <>
              <Note tone="good" title={changed ? `${count(changed, "file")} stored` : "Nothing has changed"}>
                <p>
                  {count(now?.files ?? 0, "file")} looked at. <code>bashgym sessions archive restore</code> gives them
                  back.
                </p>
              </Note>
              <DidNotRead what="file" count={now?.failed ?? 0} listed={now?.problems_listed ?? []} />
            </>
          );
        }}
      />
    </Panel>
  );
}

type Unread = { file: string; line?: number | null; reason: string };

/** Lines that did not read, and why. */
type DidNotReadProps = { what?: string; count: number; listed: readonly Unread[] };

function DidNotRead({ what = "line", count: found, listed }: DidNotReadProps) {
  if (found === 0) return null;
  return (
    <details>
      <summary>{count(found, what)} that did not read</summary>
      <ul className="stack">
        {listed.map((one) => (
          <li key={`${one.file} ${one.line ?? ""}`} className="cut">
            {one.reason}
            <div className="faint mono">
              {cutPath(one.file).name}
              {one.line ? `:${one.line}` : ""}
            </div>
          </li>
        ))}
      </ul>
      {found > listed.length ? <p className="faint">and {number(found - listed.length)} more</p> : null}
    </details>
  );
}

function Build({ path }: { path: string }) {
  const build = useBuild();
  const [params, setParams] = useSearchParams();
  const [name, setName] = useState("my-sessions");
  const [key, setKey] = useState(intentKey);
  const wrong = name !== "" && !isName(name);
  return (
    <Panel title="Build a dataset">
      <form
        className="stack"
        onSubmit={(event) => {
          event.preventDefault();
          if (!isName(name) || build.isPending) return;
          build.mutate(
            { name, key, ...(path ? { paths: [path] } : {}) },
            {
              onSuccess: (task) => {
                setKey(intentKey());
                // The address knows the task: a page that is loaded again finds it.
                setParams({ ...(path ? { path } : {}), task: task.id }, { replace: true });
              },
            },
          );
        }}
      >
        <Field
          label="Name"
          hint={path ? `From the sessions below ${path}` : "From all sessions of your agents"}
          error={wrong ? "Letters, digits, points, dashes and underscores" : undefined}
        >
          {(ids) => (
            <input
              {...ids}
              className="input mono"
              value={name}
              spellCheck={false}
              onChange={(event) => setName(event.target.value)}
            />
          )}
        </Field>
        <p className="quiet">Secrets and names are taken out while it is built. It stays on this machine.</p>
        {build.isError ? <FailureNote error={build.error} title="It was not begun" /> : null}
        <div>
          <Button type="submit" kind="primary" busy={build.isPending} disabled={!isName(name)}>
            Build
          </Button>
        </div>
      </form>
      <TaskState
        id={params.get("task") ?? ""}
        label="Building"
        done={(task) => {
          const built = task.result as { name?: string; sessions?: number; rows_train?: number } | null;
          return (
            <Note
              tone="good"
              title={`${count(built?.rows_train ?? 0, "row")} of ${count(built?.sessions ?? 0, "session")}`}
            >
              <p>
                <Link to={paths.dataset(built?.name ?? name)}>
                  Look at {built?.name ?? name}, and send it to the Hub
                </Link>
              </p>
            </Note>
          );
        }}
      />
    </Panel>
  );
}

function QualityPanel() {
  const builds = useQuery(lastBuildsQuery);
  return (
    <Panel title="Quality, as the last build found it">
      <Load query={builds} skeleton={<Skeleton lines={4} />}>
        {(page) => {
          const quality = qualityOf(page.items);
          if (!quality) return <p className="quiet">It is known when a dataset was built here.</p>;
          const most = Math.max(...quality.scores.map((one) => one.rows), 1);
          return (
            <>
              <p>
                <Link to={paths.dataset(quality.name)}>{quality.name}</Link>, {count(quality.rows, "row")} kept
              </p>
              <h3>Scores of what was found</h3>
              <ul className="stack">
                {quality.scores.map(({ score, rows }) => (
                  <li key={score}>
                    <span className="between">
                      <span>Score {score}</span> <span className="faint">{number(rows)}</span>
                    </span>
                    <Meter label={`Score ${score}`} share={rows / most} />
                  </li>
                ))}
              </ul>
              <Counted
                title="Left out"
                none="Nothing was left out."
                list={quality.losses.map((one) => [one.what, one.count])}
              />
              <Counted
                title="Taken out"
                none="No secret or name was found."
                list={quality.redactions.map((one) => [one.kind, one.count])}
              />
              <DidNotRead count={quality.problems.length} listed={quality.problems} />
            </>
          );
        }}
      </Load>
    </Panel>
  );
}

const Counted = ({ title, none, list }: { title: string; none: string; list: readonly [string, number][] }) => (
  <>
    <h3>{title}</h3>
    {list.length === 0 ? (
      <p className="quiet">{none}</p>
    ) : (
      <ul>
        {list.map(([what, found]) => (
          <li key={what} className="between">
            <span>{what}</span> <span className="faint">{number(found)}</span>
          </li>
        ))}
      </ul>
    )}
  </>
);
