import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import type { Schema } from "../../../api/client";
import { number, percent } from "../../../lib/format";
import { Load } from "../../../ui/load";
import { Button, Field, Panel, Skeleton } from "../../../ui/parts";
import { seenWords, strategyWords, sumCost } from "../model";
import { replayQuery } from "../queries";
import { Cell } from "./Cell";
import { SpanChoice } from "./SpanChoice";

/** What the calls that were made would have cost another way. */
export function Replay({
  seconds,
  chooseTime,
  strategies,
  choose,
}: {
  seconds: string;
  chooseTime: (seconds: string) => void;
  strategies: string;
  choose: (strategies: string) => void;
}) {
  const [quality, setQuality] = useState("0.8");
  const query = useQuery(replayQuery(seconds, strategies));
  return (
    <Panel title="What another strategy would have cost" actions={<SpanChoice seconds={seconds} choose={chooseTime} />}>
      <form
        className="row replay"
        onSubmit={(event) => {
          event.preventDefault();
          const share = Math.min(1, Math.max(0, Number(quality)));
          choose(`teacher_only,student_only,hf_inference,confidence_based:${share},cost_optimized:${share}`);
        }}
      >
        <Field label="How often an answer has to be right, 0 to 1">
          {(ids) => (
            <input
              {...ids}
              className="input replay__quality"
              type="number"
              min="0"
              max="1"
              step="0.01"
              value={quality}
              onChange={(event) => setQuality(event.target.value)}
            />
          )}
        </Field>
        <Button type="submit" busy={query.isFetching}>
          Replay
        </Button>
      </form>
      <Load query={query} skeleton={<Skeleton lines={6} />}>
        {(report) =>
          report.done.calls === 0 ? (
            <p className="quiet">No answered call in this time left the choice to the router.</p>
          ) : (
            <>
              <div className="scroll">
                <table className="table table--stack">
                  <thead>
                    <tr>
                      <th scope="col">Strategy</th>
                      <th scope="col" className="num">
                        Cost
                      </th>
                      <th scope="col" className="num">
                        Right
                      </th>
                      <th scope="col" className="num">
                        By verdicts alone
                      </th>
                      <th scope="col" className="num">
                        Judged
                      </th>
                      <th scope="col" className="num">
                        Asked twice
                      </th>
                      <th scope="col" className="num">
                        By the student
                      </th>
                    </tr>
                  </thead>
                  <tbody>
                    <Row label="What was done" sum={report.done} seen={null} />
                    {report.replays.map((one) => (
                      <Row
                        key={`${one.strategy} ${one.quality}`}
                        label={`${strategyWords(one.strategy).label}${one.quality === null ? "" : `, ${percent(one.quality)}`}`}
                        sum={one.nobody ? null : one.would}
                        seen={one.seen}
                      />
                    ))}
                  </tbody>
                </table>
              </div>
              <p className="faint">
                What another model would have answered is not known. Where a strategy would have asked the model that
                did answer, its verdict and cost count; elsewhere what was believed of the model then. The more verdicts
                there are, the more this says. By verdicts alone: only answers the strategy would have given too, with
                an interval of 90 %.
                {report.named > 0 ? ` ${number(report.named)} calls named their model and are left out.` : ""}
                {report.whole ? "" : " Only the newest calls are counted."}
              </p>
            </>
          )
        }
      </Load>
    </Panel>
  );
}

function Row({
  label,
  sum,
  seen,
}: {
  label: string;
  sum: Schema<"ReplaySumView"> | null;
  seen: Schema<"SeenView"> | null;
}) {
  return (
    <tr>
      <th scope="row" className="table__name">
        {label}
      </th>
      {sum === null ? (
        <td colSpan={6} className="quiet">
          No model played this part in these calls.
        </td>
      ) : (
        <>
          <Cell label="cost">{sumCost(sum)}</Cell>
          <Cell label="right">{percent(sum.quality, 1)}</Cell>
          <Cell label="by verdicts alone">{seen === null ? "–" : seenWords(seen)}</Cell>
          <Cell label="judged">{number(sum.judged)}</Cell>
          <Cell label="asked twice">{percent(sum.escalated)}</Cell>
          <Cell label="by the student">{percent(sum.student)}</Cell>
        </>
      )}
    </tr>
  );
}
