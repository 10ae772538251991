import { useQuery } from "@tanstack/react-query";
import { number } from "../../../lib/format";
import { Load } from "../../../ui/load";
import { Figure, Panel, Skeleton } from "../../../ui/parts";
import { linesOf, roleLabel, shareOf, sumCost } from "../model";
import { reportQuery } from "../queries";
import { Cell } from "./Cell";
import { SpanChoice } from "./SpanChoice";
import { TimePlot } from "./TimePlot";

/** What calls cost, how good they were and who answered them. */
export function Numbers({ seconds, choose }: { seconds: string; choose: (seconds: string) => void }) {
  const query = useQuery(reportQuery(seconds));
  return (
    <Panel title="Cost and quality" actions={<SpanChoice seconds={seconds} choose={choose} />}>
      <Load query={query} skeleton={<Skeleton lines={8} />}>
        {({ sum, points, models, whole }) => {
          if (sum.calls === 0) return <p className="quiet">No call in this time.</p>;
          const lines = linesOf(points);
          return (
            <>
              <div className="figures">
                <Figure label="Calls" value={number(sum.calls)}>
                  {sum.named > 0 ? `${number(sum.named)} named their model` : null}
                </Figure>
                <Figure label="Cost" value={sumCost(sum)} />
                <Figure label="Found right" value={shareOf(sum.good, sum.judged)}>
                  of {number(sum.judged)} judged
                </Figure>
                <Figure label="By the student" value={shareOf(sum.by_student, sum.answered)}>
                  of {number(sum.answered)} answered
                </Figure>
                <Figure label="Asked again" value={shareOf(sum.escalated, sum.calls)}>
                  the first was not sure
                </Figure>
              </div>
              {whole ? null : <p className="faint">Only the newest {number(sum.calls)} calls are counted.</p>}
              {points.length > 1 ? (
                <div className="plots">
                  {lines.cost.some((point) => point.value > 0) ? (
                    <TimePlot title="US dollars" lines={[{ name: "Cost", points: lines.cost }]} />
                  ) : (
                    <TimePlot title="Calls" lines={[{ name: "Calls", points: lines.calls }]} />
                  )}
                  <TimePlot
                    title="Percent"
                    lines={[
                      { name: "By the student", points: lines.student },
                      { name: "Found right", points: lines.quality },
                    ]}
                  />
                </div>
              ) : (
                <p className="faint">Lines are drawn when there were calls at two times.</p>
              )}
              <div className="scroll">
                <table className="table table--stack">
                  <thead>
                    <tr>
                      <th scope="col">Model</th>
                      <th scope="col" className="num">
                        Answered
                      </th>
                      <th scope="col" className="num">
                        Not sure
                      </th>
                      <th scope="col" className="num">
                        Failed
                      </th>
                      <th scope="col" className="num">
                        Found right
                      </th>
                      <th scope="col" className="num">
                        Median time
                      </th>
                      <th scope="col" className="num">
                        Cost
                      </th>
                    </tr>
                  </thead>
                  <tbody>
                    {models.map((one) => (
                      <tr key={`${one.role} ${one.model}`}>
                        <th scope="row" className="table__name">
                          {one.model} <span className="faint">{roleLabel(one.role)}</span>
                        </th>
                        <Cell label="answered">{number(one.answered)}</Cell>
                        <Cell label="not sure">{number(one.unsure)}</Cell>
                        <Cell label="failed">{number(one.failed)}</Cell>
                        <Cell label="found right">
                          {one.judged === 0 ? "–" : `${number(one.good)} of ${number(one.judged)}`}
                        </Cell>
                        <Cell label="median time">{one.p50_ms === null ? "–" : `${number(one.p50_ms)} ms`}</Cell>
                        <Cell label="cost">{sumCost(one)}</Cell>
                      </tr>
                    ))}
                  </tbody>
                </table>
              </div>
            </>
          );
        }}
      </Load>
    </Panel>
  );
}
