import { useInfiniteQuery } from "@tanstack/react-query";
import { Link, useSearchParams } from "react-router";
import { duration } from "../../../lib/format";
import { paths } from "../../../lib/paths";
import { Load } from "../../../ui/load";
import { itemsOf, ShowMore } from "../../../ui/more";
import { Badge, Button, Copyable, Empty, PageHead, Panel, Skeleton, Time } from "../../../ui/parts";
import { hubOf, intentOf, stages, stageWords } from "../model";
import { jobsQuery } from "../queries";

export default function Jobs() {
  const [search, setSearch] = useSearchParams();
  const stage = search.get("stage") ?? "";
  const label = search.get("label") ?? "";
  const query = useInfiniteQuery(jobsQuery({ ...(stage ? { stage } : {}), ...(label ? { label } : {}) }));
  const set = (name: string, value: string) =>
    setSearch(
      (now) => {
        if (value) now.set(name, value);
        else now.delete(name);
        return now;
      },
      { replace: true },
    );
  return (
    <div className="page">
      <PageHead
        title="Jobs"
        lead="Work on the Hub's machines, newest first. Each line of their logs is kept here as it is written."
      >
        <Link className="button" data-kind="primary" to={paths.train()}>
          Train a student
        </Link>
      </PageHead>
      <Panel
        title="All jobs"
        flush
        actions={
          <>
            <label className="sr" htmlFor="stage">
              Stage
            </label>
            <select id="stage" className="input" value={stage} onChange={(event) => set("stage", event.target.value)}>
              <option value="">Every stage</option>
              {stages.map((one) => (
                <option key={one} value={one}>
                  {stageWords(one).label}
                </option>
              ))}
            </select>
            {label ? (
              <Button onClick={() => set("label", "")}>
                Only <code>{label}</code>, show all
              </Button>
            ) : null}
          </>
        }
      >
        <Load query={query} skeleton={<div className="panel__body">{<Skeleton lines={8} />}</div>}>
          {(data) => {
            const jobs = itemsOf(data);
            if (jobs.length === 0)
              return stage || label ? (
                <Empty
                  title="No job is like that"
                  action={<Button onClick={() => setSearch({}, { replace: true })}>Show all jobs</Button>}
                />
              ) : (
                <Empty
                  title="No job yet"
                  action={
                    <Link className="button" data-kind="primary" to={paths.train()}>
                      Train a student
                    </Link>
                  }
                >
                  <p>A training is a job. Any other command can be one too:</p>
                  <Copyable text="bashgym jobs run -- python -c 'print(1)'" label="Copy the command" />
                </Empty>
              );
            return (
              <div className="scroll">
                <table className="table table--stack">
                  <thead>
                    <tr>
                      <th scope="col">Job</th>
                      <th scope="col">Stage</th>
                      <th scope="col">Hardware</th>
                      <th scope="col" className="num">
                        Ran
                      </th>
                      <th scope="col">Submitted</th>
                    </tr>
                  </thead>
                  <tbody>
                    {jobs.map((job) => {
                      const words = stageWords(job.stage);
                      const intent = intentOf(job);
                      return (
                        <tr key={job.id}>
                          <td>
                            <Link className="mono" to={paths.job(job.id)}>
                              {job.id}
                            </Link>
                            <div className="faint jobs__what">
                              {(hubOf(job).command ?? []).join(" ") || hubOf(job).dockerImage}
                              {intent && intent.attempt > 1 ? `, attempt ${intent.attempt}` : ""}
                            </div>
                          </td>
                          <td>
                            <Badge tone={words.tone}>{words.label}</Badge>
                          </td>
                          <td className="mono">{job.flavor}</td>
                          <td className="num">{job.running_seconds === null ? "–" : duration(job.running_seconds)}</td>
                          <td>{job.created_at ? <Time at={job.created_at} /> : "–"}</td>
                        </tr>
                      );
                    })}
                  </tbody>
                </table>
              </div>
            );
          }}
        </Load>
        <ShowMore query={query} flush />
      </Panel>
    </div>
  );
}
