import { Badge, Fact, Facts, Pre } from "../../../ui/parts";
import { shownOf, type Turn } from "../model";

const talkNames: Record<string, string> = {
  messages: "",
  prompt: "Prompt",
  completion: "Completion",
  chosen: "Chosen",
  rejected: "Rejected",
};

/** A row of a dataset as a person reads it: who said what, and what was called. */
export function RowView({ row }: { row: unknown }) {
  const { talks, about, rest } = shownOf(row);
  return (
    <div className="stack">
      {about.length > 0 ? (
        <Facts>
          {about.map(([name, value]) => (
            <Fact key={name} label={name}>
              {value}
            </Fact>
          ))}
        </Facts>
      ) : null}
      {talks.map((talk) => (
        <div key={talk.name} className="stack">
          {talkNames[talk.name] ? <h4>{talkNames[talk.name]}</h4> : null}
          <ol className="talk">
            {talk.turns.map((turn, at) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: a row's turns never move
              <TurnView key={at} turn={turn} />
            ))}
          </ol>
        </div>
      ))}
      {rest ? (
        <details>
          <summary>Other fields</summary>
          <Pre text={rest} />
        </details>
      ) : null}
    </div>
  );
}

function TurnView({ turn }: { turn: Turn }) {
  return (
    <li data-role={turn.role}>
      <span className="row">
        <Badge tone={turn.role === "assistant" ? "accent" : turn.role === "tool" ? "info" : "plain"}>{turn.role}</Badge>
        {turn.tool ? <code>{turn.tool}</code> : null}
      </span>
      {turn.text ? turn.role === "tool" ? <Pre text={turn.text} /> : <p className="talk__text">{turn.text}</p> : null}
      {turn.calls.map((call) => (
        <div key={call.id} className="stack">
          <span className="faint">
            calls <code>{call.name}</code>
          </span>
          <Pre text={call.input} />
        </div>
      ))}
    </li>
  );
}
