import { useInfiniteQuery } from "@tanstack/react-query";
import { Link } from "react-router";
import { number } from "../../../lib/format";
import { paths } from "../../../lib/paths";
import { Load } from "../../../ui/load";
import { itemsOf, ShowMore } from "../../../ui/more";
import { Badge, Copyable, Empty, PageHead, Panel, Skeleton, Time } from "../../../ui/parts";
import { lineageOf, stateWords } from "../model";
import { runsQuery } from "../queries";

export default function Runs() {
  const runs = useInfiniteQuery(runsQuery);
  return (
    <div className="page">
      <PageHead
        title="Runs"
        lead="From sessions to a student, newest first. A run that stopped is taken up where it was; those of the command line are here too."
      />
      <Panel title="All runs" flush>
        <Load
          query={runs}
          skeleton={
            <div className="panel__body">
              <Skeleton lines={8} />
            </div>
          }
        >
          {(data) => {
            const list = itemsOf(data);
            if (list.length === 0)
              return (
                <Empty
                  title="No run yet"
                  action={
                    <Link className="button" data-kind="primary" to={paths.home()}>
                      See what comes first
                    </Link>
                  }
                >
                  <p>One command goes the whole way on the sessions of this machine:</p>
                  <Copyable text="bashgym run" label="Copy the command" />
                </Empty>
              );
            return (
              <div className="scroll">
                <table className="table table--stack">
                  <thead>
                    <tr>
                      <th scope="col">Student</th>
                      <th scope="col">State</th>
                      <th scope="col">Dataset</th>
                      <th scope="col" className="num">
                        Loss held out
                      </th>
                      <th scope="col">Changed</th>
                    </tr>
                  </thead>
                  <tbody>
                    {list.map((run) => {
                      const state = stateWords(run.state);
                      const line = lineageOf(run);
                      return (
                        <tr key={run.id}>
                          <td>
                            <Link to={paths.run(run.id)}>{run.model_repo}</Link>
                            <div className="faint mono">{run.id}</div>
                          </td>
                          <td data-label="State">
                            <Badge tone={state.tone}>{state.label}</Badge>
                          </td>
                          <td data-label="Dataset">
                            <Link to={paths.dataset(run.dataset_repo)}>{run.dataset_repo}</Link>
                          </td>
                          <td className="num nowrap" data-label="Loss held out">
                            {line.lossBefore === null || line.lossAfter === null
                              ? "–"
                              : `${number(line.lossBefore, 3)} → ${number(line.lossAfter, 3)}`}
                          </td>
                          <td data-label="Changed">
                            <Time at={run.updated_at} />
                          </td>
                        </tr>
                      );
                    })}
                  </tbody>
                </table>
              </div>
            );
          }}
        </Load>
        <ShowMore query={runs} flush />
      </Panel>
    </div>
  );
}
