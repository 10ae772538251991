import { number, percent, usd } from "../../../lib/format";
import { Badge, Panel } from "../../../ui/parts";
import { bucketLabel, intervalWords, type RouterView, roleLabel, type Standing } from "../model";
import { Cell } from "./Cell";

/** The models behind the router, and what verdicts say of each. */
export function Models({ router }: { router: RouterView }) {
  return (
    <div className="grid">
      <Panel title="Models it can ask" flush>
        {router.backends.length === 0 ? (
          <p className="panel__body quiet">None is set up.</p>
        ) : (
          <div className="scroll">
            <table className="table table--stack">
              <thead>
                <tr>
                  <th scope="col">Model</th>
                  <th scope="col" className="num">
                    A million tokens, in and out
                  </th>
                  <th scope="col">Now</th>
                </tr>
              </thead>
              <tbody>
                {router.backends.map((one) => (
                  <tr key={`${one.role} ${one.model}`}>
                    <th scope="row" className="table__name">
                      {one.model}
                      <div className="faint">
                        {roleLabel(one.role)}
                        {one.share === null ? "" : `, gets ${percent(one.share)} of the calls`}
                        {one.calibration ? ", calibrated" : one.role === "student" ? ", not calibrated" : ""}
                      </div>
                    </th>
                    <Cell label="a million tokens">
                      {one.input_usd === null ? "price not known" : `${usd(one.input_usd)} and ${usd(one.output_usd)}`}
                    </Cell>
                    <td>
                      <Badge tone={one.breaker === "closed" ? "good" : one.breaker === "open" ? "bad" : "warn"}>
                        {one.breaker === "closed"
                          ? "Takes calls"
                          : one.breaker === "open"
                            ? `Left alone for ${number(one.retry_in_seconds ?? 0)} s`
                            : "Being tried"}
                      </Badge>
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
      </Panel>
      <Panel title="What verdicts say" flush>
        {router.standings.length === 0 ? (
          <p className="panel__body quiet">
            Nobody has judged an answer yet. Open a decision and say whether it was right, or let your tests say it with{" "}
            <code>bashgym route report</code>: the router learns from nothing else.
          </p>
        ) : (
          <div className="scroll">
            <table className="table table--stack">
              <thead>
                <tr>
                  <th scope="col">Model and task</th>
                  <th scope="col">Is right</th>
                  <th scope="col" className="num">
                    Verdicts
                  </th>
                </tr>
              </thead>
              <tbody>
                {router.standings.map((one) => (
                  <tr key={`${one.model} ${one.bucket}`}>
                    <th scope="row" className="table__name">
                      {one.bucket === null ? one.model : <span className="faint">{bucketLabel(one.bucket)}</span>}
                    </th>
                    <td>
                      <Interval standing={one} />
                    </td>
                    <Cell label="verdicts">
                      {number(one.good)} right, {number(one.bad)} wrong
                    </Cell>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
      </Panel>
    </div>
  );
}

/** A share and the range it lies in, drawn and in words. */
function Interval({ standing }: { standing: Standing }) {
  const { low, mean, high } = standing;
  return (
    <span className="interval">
      <svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">
        <line x1="0" x2="100" y1="5" y2="5" className="interval__all" />
        <line x1={100 * low} x2={100 * high} y1="5" y2="5" className="interval__range" />
        <line x1={100 * mean} x2={100 * mean} y1="0" y2="10" className="interval__mean" />
      </svg>
      <span>{intervalWords(standing)}</span>
    </span>
  );
}
