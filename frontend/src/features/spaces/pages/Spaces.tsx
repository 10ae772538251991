import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Link } from "react-router";
import type { Schema } from "../../../api/client";
import { paths } from "../../../lib/paths";
import { Load } from "../../../ui/load";
import { Badge, Button, Empty, PageHead, Panel, Skeleton, Time } from "../../../ui/parts";
import { stageWords } from "../model";
import { spaceQuery, spacesQuery } from "../queries";

export default function Spaces() {
  const query = useInfiniteQuery(spacesQuery);
  return (
    <div className="page">
      <PageHead
        title="Spaces"
        lead="Apps on the Hub that serve your students: for people in a browser, and for programs."
      >
        <Link className="button" data-kind="primary" to={paths.newSpace()}>
          Serve a student
        </Link>
      </PageHead>
      <Panel title="All Spaces" flush>
        <Load
          query={query}
          skeleton={
            <div className="panel__body">
              <Skeleton lines={6} />
            </div>
          }
        >
          {(data) => {
            const spaces = data.pages.flatMap((page) => page.items);
            if (spaces.length === 0)
              return (
                <Empty
                  title="No Space yet"
                  action={
                    <Link className="button" data-kind="primary" to={paths.newSpace()}>
                      Serve a student
                    </Link>
                  }
                >
                  <p>
                    A Space is a small app around one model: people try it, and programs ask it. It is made from a model
                    repository, follows its build, and is only called done when it has answered.
                  </p>
                </Empty>
              );
            return (
              <div className="scroll">
                <table className="table table--stack">
                  <thead>
                    <tr>
                      <th scope="col">Space</th>
                      <th scope="col">Stage</th>
                      <th scope="col">Serves</th>
                      <th scope="col">Hardware</th>
                      <th scope="col">Changed</th>
                    </tr>
                  </thead>
                  <tbody>
                    {spaces.map((space) => (
                      <Row key={space.space_id} space={space} />
                    ))}
                  </tbody>
                </table>
              </div>
            );
          }}
        </Load>
        {query.hasNextPage ? (
          <div className="panel__body">
            <div>
              <Button busy={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
                Show more
              </Button>
            </div>
          </div>
        ) : null}
      </Panel>
    </div>
  );
}

function Row({ space }: { space: Schema<"SpaceItem"> }) {
  // A list tells no model: it is read from the Space's own file.
  const one = useQuery(spaceQuery(space.space_id));
  const words = stageWords(one.data?.stage ?? space.stage);
  return (
    <tr>
      <th scope="row" className="table__name">
        <Link to={paths.space(space.space_id)}>{space.space_id}</Link>
        <div className="faint">{space.private === null ? "" : space.private ? "private" : "public"}</div>
      </th>
      <td>
        <Badge tone={words.tone}>{words.label}</Badge>
      </td>
      <td>
        {one.data ? (
          one.data.model_repo ? (
            <>
              {one.data.model_repo}
              <div className="faint mono">{one.data.model_revision?.slice(0, 12)}</div>
            </>
          ) : (
            <span className="quiet">not made here</span>
          )
        ) : (
          <span className="quiet">{one.isError ? "not known" : "…"}</span>
        )}
      </td>
      <td className="mono">{space.hardware ?? "–"}</td>
      <td>{space.last_modified ? <Time at={space.last_modified} /> : "–"}</td>
    </tr>
  );
}
