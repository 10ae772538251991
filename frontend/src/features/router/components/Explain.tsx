import { useQuery } from "@tanstack/react-query";
import { sentence } from "../../../api/errors";
import { bytes, count, dateTime, number, percent, usd } from "../../../lib/format";
import { Dialog } from "../../../ui/dialog";
import { FailureNote } from "../../../ui/failure";
import { Load } from "../../../ui/load";
import { Badge, Button, Fact, Facts, Skeleton } from "../../../ui/parts";
import {
  bucketLabel,
  costWords,
  type DecisionRecord,
  endLabel,
  roleLabel,
  stateWords,
  strategyWords,
  verdictWords,
} from "../model";
import { decisionQuery, useJudge } from "../queries";
import { Cell } from "./Cell";

/** One decision with all that was known when it was made, and the question whether it was right. */
export function Explain({ id, close }: { id: string; close: () => void }) {
  const query = useQuery(decisionQuery(id));
  return (
    <Dialog title="One decision" open={id !== ""} close={close} className="drawer">
      <div className="dialog__body">
        <div className="between">
          <h2>Why this model</h2>
          <Button onClick={close}>Close</Button>
        </div>
        <Load query={query} skeleton={<Skeleton lines={10} />}>
          {({ decision, record, kept }) => {
            const whole = record as unknown as DecisionRecord;
            const state = stateWords(decision.state);
            const verdict = verdictWords(decision.verdict);
            return (
              <>
                <p>{sentence(decision.reason)}</p>
                <p className="row">
                  <Badge tone={state.tone}>{state.label}</Badge>
                  <Badge tone={verdict.tone}>{verdict.label}</Badge>
                  {decision.explored ? <Badge tone="info">Explored</Badge> : null}
                  {kept ? <Badge tone="accent">Conversation kept</Badge> : null}
                </p>
                <Facts>
                  <Fact label="When">{dateTime(decision.at)}</Fact>
                  <Fact label="Chosen">{strategyWords(decision.strategy).label}</Fact>
                  <Fact label="Task">
                    {bucketLabel(decision.bucket)}: {count(whole.features.messages, "message")},{" "}
                    {bytes(whole.features.prompt_bytes)}
                    {whole.features.tools > 0 ? `, ${count(whole.features.tools, "tool")}` : ""}
                  </Fact>
                  <Fact label="Cost">{costWords(decision.cost_usd, decision.cost_known)}</Fact>
                  <Fact label="Time">{number(decision.millis)} ms</Fact>
                  <Fact label="Decision">
                    <code>{decision.id}</code>
                  </Fact>
                </Facts>
                {decision.state === "failed" ? null : <Judge id={decision.id} verdict={decision.verdict} />}
                <h3>Who could have answered</h3>
                <Candidates record={whole} />
                <h3>Who was asked</h3>
                <Tries record={whole} />
              </>
            );
          }}
        </Load>
      </div>
    </Dialog>
  );
}

function Judge({ id, verdict }: { id: string; verdict: string }) {
  const judge = useJudge();
  const busy = (good: boolean) => judge.isPending && judge.variables?.good === good;
  return (
    <div className="stack">
      <div className="actions">
        <span>Was the answer right?</span>
        <Button aria-pressed={verdict === "good"} busy={busy(true)} onClick={() => judge.mutate({ id, good: true })}>
          Right
        </Button>
        <Button aria-pressed={verdict === "bad"} busy={busy(false)} onClick={() => judge.mutate({ id, good: false })}>
          Wrong
        </Button>
      </div>
      {judge.isError ? <FailureNote error={judge.error} title="It was not written down" /> : null}
    </div>
  );
}

function Candidates({ record }: { record: DecisionRecord }) {
  return (
    <div className="scroll">
      <table className="table table--stack">
        <thead>
          <tr>
            <th scope="col">Model</th>
            <th scope="col" className="num">
              Right at least
            </th>
            <th scope="col" className="num">
              On average
            </th>
            <th scope="col" className="num">
              Expected cost
            </th>
          </tr>
        </thead>
        <tbody>
          {record.candidates.map((one) => (
            <tr key={`${one.role} ${one.model}`}>
              <th scope="row" className="table__name">
                {one.model}
                <div className="faint">
                  {roleLabel(one.role)}
                  {one.left_out ? `; left out: ${one.left_out}` : ""}
                </div>
              </th>
              <Cell label="right at least">{percent(one.belief.low)}</Cell>
              <Cell label="on average">{percent(one.belief.mean)}</Cell>
              <Cell label="expected cost">
                {usd(one.expected_nano_usd === null ? null : one.expected_nano_usd / 1e9)}
              </Cell>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Tries({ record }: { record: DecisionRecord }) {
  if (record.tries.length === 0) return <p className="quiet">Nobody was asked.</p>;
  return (
    <ol className="stack">
      {record.tries.map((one, at) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: tries have no other name, and never move
        <li key={at} className="stack">
          <span className="row">
            <b>{one.model}</b>
            <span>{endLabel(one.end)}</span>
            <span className="faint">
              {number(one.millis)} ms
              {one.usage ? `, ${number(one.usage.prompt_tokens)} + ${number(one.usage.completion_tokens)} tokens` : ""}
              {one.confidence
                ? `, ${percent(one.confidence.probability)} sure${one.confidence.calibrated ? "" : " (not calibrated)"}`
                : ""}
            </span>
          </span>
          {one.error ? <span className="quiet">{one.error}</span> : null}
        </li>
      ))}
    </ol>
  );
}
