import { useInfiniteQuery } from "@tanstack/react-query";
import { Link, useSearchParams } from "react-router";
import { number } from "../../../lib/format";
import { paths } from "../../../lib/paths";
import { Load } from "../../../ui/load";
import { itemsOf, ShowMore } from "../../../ui/more";
import { Badge, Empty, PageHead, Panel, Skeleton, Time } from "../../../ui/parts";
import { builtQuery, reposQuery } from "../queries";

const room = (
  <div className="panel__body">
    <Skeleton lines={4} />
  </div>
);

export default function DatasetBrowser() {
  const [search, setSearch] = useSearchParams();
  const prefix = search.get("prefix") ?? "";
  const repos = useInfiniteQuery(reposQuery(prefix));
  const builds = useInfiniteQuery(builtQuery);
  return (
    <div className="page">
      <PageHead title="Datasets" lead="Rows made of what your agents did: on the Hub, and built here.">
        <Link className="button" data-kind="primary" to={paths.sessions()}>
          Build from sessions
        </Link>
      </PageHead>
      <Panel
        title="On the Hub"
        flush
        actions={
          <>
            <label className="sr" htmlFor="prefix">
              Name begins with
            </label>
            <input
              id="prefix"
              type="search"
              className="input"
              placeholder="Name begins with"
              value={prefix}
              onChange={(event) =>
                setSearch(event.target.value ? { prefix: event.target.value } : {}, { replace: true })
              }
            />
          </>
        }
      >
        <Load query={repos} skeleton={room}>
          {(data) => {
            const list = itemsOf(data);
            if (list.length === 0)
              return (
                <Empty title={prefix ? "No dataset is called so" : "No dataset on the Hub yet"}>
                  <p>One that was built here is sent to the Hub from its own page.</p>
                </Empty>
              );
            return (
              <div className="scroll">
                <table className="table table--stack">
                  <thead>
                    <tr>
                      <th scope="col">Dataset</th>
                      <th scope="col">Who reads it</th>
                      <th scope="col">Changed</th>
                    </tr>
                  </thead>
                  <tbody>
                    {list.map((repo) => (
                      <tr key={repo.repo_id}>
                        <td>
                          <Link to={paths.dataset(repo.repo_id)}>{repo.repo_id}</Link>
                        </td>
                        <td data-label="Who reads it">
                          {repo.private === null ? (
                            "not known"
                          ) : repo.private ? (
                            <Badge>only you</Badge>
                          ) : (
                            <Badge tone="warn">everybody</Badge>
                          )}
                        </td>
                        <td data-label="Changed">{repo.last_modified ? <Time at={repo.last_modified} /> : "–"}</td>
                      </tr>
                    ))}
                  </tbody>
                </table>
              </div>
            );
          }}
        </Load>
        <ShowMore query={repos} flush />
      </Panel>
      <Panel title="Built here" flush>
        <Load query={builds} skeleton={room}>
          {(data) => {
            const built = itemsOf(data);
            if (built.length === 0)
              return (
                <div className="panel__body">
                  <p className="quiet">
                    No dataset was built on this machine yet. <Link to={paths.sessions()}>Build one</Link> from your
                    sessions.
                  </p>
                </div>
              );
            return (
              <div className="scroll">
                <table className="table table--stack">
                  <thead>
                    <tr>
                      <th scope="col">Name</th>
                      <th scope="col" className="num">
                        Sessions
                      </th>
                      <th scope="col" className="num">
                        Rows
                      </th>
                      <th scope="col" className="num">
                        Held out
                      </th>
                      <th scope="col">Built</th>
                    </tr>
                  </thead>
                  <tbody>
                    {built.map((one) => (
                      <tr key={one.name}>
                        <td>
                          <Link to={paths.dataset(one.name)}>{one.name}</Link>
                        </td>
                        <td className="num" data-label="Sessions">
                          {number(one.sessions)}
                        </td>
                        <td className="num" data-label="Rows">
                          {number(one.rows_train)}
                        </td>
                        <td className="num" data-label="Held out">
                          {number(one.rows_val)}
                        </td>
                        <td data-label="Built">{one.built_at ? <Time at={one.built_at} /> : "–"}</td>
                      </tr>
                    ))}
                  </tbody>
                </table>
              </div>
            );
          }}
        </Load>
        <ShowMore query={builds} flush />
      </Panel>
    </div>
  );
}
