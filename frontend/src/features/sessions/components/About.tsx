import { useQuery } from "@tanstack/react-query";
import { Link } from "react-router";
import { count, duration, number } from "../../../lib/format";
import { paths } from "../../../lib/paths";
import { Load } from "../../../ui/load";
import { Badge, Fact, Facts, Meter, Panel, Skeleton, Time } from "../../../ui/parts";
import { agentName } from "../model";
import { rowsOfQuery, type SessionName } from "../queries";
import { type Conversation, type Part, partName, scoreTone, type Tokens } from "../steps";

/** What is known of a conversation. */
export function AboutPanel({ one }: { one: Conversation }) {
  const tokens = one.tokens as unknown as Tokens;
  const took = one.started_at && one.ended_at ? (Date.parse(one.ended_at) - Date.parse(one.started_at)) / 1000 : null;
  return (
    <Panel title="About it">
      <Facts>
        <Fact label="Agent">
          {agentName(one.agent)} {one.agent_version ?? ""}
        </Fact>
        <Fact label="Model">{one.models.join(", ") || "not told"}</Fact>
        <Fact label="Folder">{one.cwd ? <code>{one.cwd}</code> : "not told"}</Fact>
        <Fact label="Begun">{one.started_at ? <Time at={one.started_at} /> : "not told"}</Fact>
        <Fact label="Took">{took === null ? "not told" : duration(took)}</Fact>
        <Fact label="Tool calls">
          {number(one.tool_calls)}
          {one.tool_errors > 0 ? `, ${number(one.tool_errors)} failed` : ""}
        </Fact>
        <Fact label="Tokens read">
          {number(tokens.input + tokens.cache_creation)}
          {tokens.cache_read > 0 ? `, and ${number(tokens.cache_read)} from the cache` : ""}
        </Fact>
        <Fact label="Tokens written">{number(tokens.output)}</Fact>
      </Facts>
    </Panel>
  );
}

/** How each task of a conversation was judged, and why. */
export function QualityOf({ one, name, place }: { one: Conversation; name: SessionName; place: number }) {
  return (
    <Panel title="Quality">
      {one.tasks.length === 0 ? (
        <p className="quiet">
          No task of it gives rows: it has no prompt with an answer, or all of it was copied or taken back.
        </p>
      ) : (
        <ul className="stack">
          {one.tasks.map((task, at) => (
            <li key={task.first_step} className="stack">
              <span className="between">
                <Link
                  to={paths.session(name.file, { id: name.id, conversation: place || undefined, at: task.first_step })}
                >
                  Task {at + 1}, from step {number(task.first_step)}
                </Link>
                <Badge tone={scoreTone(task.value)}>{number(task.value, 2)}</Badge>
              </span>
              <Meter label={`Score of task ${at + 1}`} share={task.value} />
              <details>
                <summary>Why</summary>
                <ul className="stack">
                  {(task.parts as unknown as Part[]).map((part) => (
                    <li key={part.part} className="between">
                      <span>
                        {partName(part.part)}
                        <div className="faint">{part.reason}</div>
                      </span>
                      <span className="nowrap">
                        {number(part.value, 2)} <span className="faint">× {number(part.weight, 2)}</span>
                      </span>
                    </li>
                  ))}
                </ul>
                <p className="quiet">
                  The mean of the parts by their weight, drawn to 0.5 the less is known. A task below 0.3 gives no row
                  to imitate.
                </p>
              </details>
            </li>
          ))}
        </ul>
      )}
    </Panel>
  );
}

/** The datasets built here that have rows of a session. */
export function RowsOf({ session }: { session: string }) {
  const sets = useQuery(rowsOfQuery(session));
  return (
    <Panel title="Rows made of it">
      <Load query={sets} skeleton={<Skeleton lines={2} />}>
        {(page) =>
          page.items.length === 0 ? (
            <p className="quiet">
              No dataset that was built here has a row of it. <Link to={paths.sessions()}>Build one</Link>.
            </p>
          ) : (
            <ul className="stack">
              {page.items.map((set) => (
                <li key={set.name} className="between">
                  <Link to={paths.dataset(set.name, { session })}>{set.name}</Link>
                  <span className="faint">{count(set.rows_of_session ?? 0, "row")}</span>
                </li>
              ))}
            </ul>
          )
        }
      </Load>
    </Panel>
  );
}
