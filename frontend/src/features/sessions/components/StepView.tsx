import { clockTime, dateTime, duration } from "../../../lib/format";
import { Badge, LeftOut, Note, Pre } from "../../../ui/parts";
import { gist, lookOf, type Shown, type Step, type StepResult, spread } from "../steps";

/** A pause worth a word: a shorter one says nothing (ms). */
const LONG = 2_000;

/** One step of a conversation: who, when, what was said, what was called and what came back. */
export function StepView({ shown: { step, results, tookMs } }: { shown: Shown }) {
  const look = lookOf(step.kind);
  return (
    <li id={`step-${step.number}`} data-role={step.role} data-rewound={step.rewound || undefined}>
      <span className="row">
        <Badge tone={look.tone}>{look.label}</Badge>
        <span className="faint">{step.number}</span>
        {step.at ? (
          <time className="faint" dateTime={step.at} title={dateTime(step.at)}>
            {clockTime(step.at)}
          </time>
        ) : null}
        {tookMs !== null && tookMs >= LONG ? <span className="faint">{duration(tookMs / 1000)}</span> : null}
        {step.rewound ? <Badge tone="warn">you went back on this</Badge> : null}
        {step.copied ? <Badge>from an earlier session</Badge> : null}
      </span>
      {step.thinking?.text ? (
        <details>
          <summary>What it thought</summary>
          <p className="talk__text quiet">{step.thinking.text}</p>
          <LeftOut size={step.thinking.left_out} />
        </details>
      ) : null}
      <Said step={step} quiet={look.quiet} />
      {step.calls.map((call) => (
        <div key={call.id} className="stack">
          <details className="item">
            <summary>
              <code>{call.name}</code> <span className="faint mono cut">{gist(call.arguments.text)}</span>
            </summary>
            <Pre text={spread(call.arguments.text)} leftOut={call.arguments.left_out} />
          </details>
          <Result result={results.get(call.id)} />
        </div>
      ))}
      <Result result={step.result ?? undefined} />
    </li>
  );
}

function Said({ step, quiet }: { step: Step; quiet: boolean }) {
  const { text, left_out } = step.text;
  if (!text) return null;
  const said = (
    <>
      <p className="talk__text">{text}</p>
      <LeftOut size={left_out} />
    </>
  );
  return quiet ? (
    <details>
      <summary className="cut">{text.split("\n", 1)[0]}</summary>
      {said}
    </details>
  ) : (
    said
  );
}

function Result({ result }: { result: StepResult | undefined }) {
  if (!result) return null;
  const failed = result.is_error || (result.exit_status ?? 0) !== 0;
  const status = result.exit_status === null ? "" : ` with status ${result.exit_status}`;
  const content = result.content.text ? (
    <Pre text={result.content.text} leftOut={result.content.left_out} />
  ) : (
    <span className="faint">It gave nothing back.</span>
  );
  return failed ? (
    <Note tone="bad" title={`It failed${status}`}>
      {content}
    </Note>
  ) : (
    content
  );
}
