import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useNavigate, useParams, useSearchParams } from "react-router";
import { statusQuery } from "../../../api/status";
import { number } from "../../../lib/format";
import { paths } from "../../../lib/paths";
import { Confirm } from "../../../ui/dialog";
import { Icon } from "../../../ui/icons";
import { Load } from "../../../ui/load";
import { Button, Note, PageHead, Panel, Skeleton, Tabs } from "../../../ui/parts";
import { toast } from "../../../ui/toasts";
import { BuiltDataset } from "../components/BuiltDataset";
import { RowView } from "../components/RowView";
import { isRepo } from "../model";
import { PAGE, rowsQuery, useRemoveRepo } from "../queries";

const splits = [
  { id: "train", label: "To train on" },
  { id: "validation", label: "Held out" },
] as const;

export default function Dataset() {
  const name = useParams()["*"] ?? "";
  return <div className="page">{isRepo(name) ? <Repo repo={name} /> : <BuiltDataset name={name} />}</div>;
}

function Repo({ repo }: { repo: string }) {
  const [search, setSearch] = useSearchParams();
  const navigate = useNavigate();
  const [asking, setAsking] = useState(false);
  const status = useQuery(statusQuery);
  const remove = useRemoveRepo(repo);
  const asked = search.get("split");
  const split = splits.find((one) => one.id === asked)?.id ?? "train";
  const config = search.get("config") ?? "";
  const offset = Math.max(0, Math.floor(Number(search.get("after"))) || 0);
  const rows = useQuery({ ...rowsQuery(repo, { config, split, offset }), placeholderData: keepPreviousData });
  const go = (next: Record<string, string>) =>
    setSearch((now) => {
      for (const [key, value] of Object.entries(next)) {
        if (value) now.set(key, value);
        else now.delete(key);
      }
      return now;
    });
  const studio =
    status.data && !status.data.embedded && status.data.endpoint
      ? `${status.data.endpoint.replace(/\/$/, "")}/datasets/${repo}/viewer`
      : null;
  return (
    <>
      <PageHead title={repo} lead="A dataset on the Hub, as its viewer reads it.">
        {studio ? (
          <a className="button" href={studio} target="_blank" rel="noreferrer">
            Data Studio <Icon name="external" />
            <span className="sr">(a new tab)</span>
          </a>
        ) : null}
        <Button onClick={() => setAsking(true)}>Delete</Button>
        <Link className="button" data-kind="primary" to={paths.train({ dataset: repo })}>
          Train on it
        </Link>
      </PageHead>
      <Panel title="Rows" flush>
        <Tabs
          label="Split"
          tabs={splits}
          chosen={split}
          choose={(id) => go({ split: id === "train" ? "" : id, after: "" })}
        />
        <Load
          query={rows}
          skeleton={
            <div className="panel__body">
              <Skeleton lines={12} />
            </div>
          }
        >
          {(page) => {
            if (page.state === "pending")
              return (
                <div className="panel__body">
                  <Note tone="info" title="The viewer has not read this dataset yet">
                    <p>It does so after each upload. This page looks again by itself.</p>
                  </Note>
                </div>
              );
            if (page.state !== "ready")
              return (
                <div className="panel__body">
                  <Note tone="warn" title="The viewer does not show these rows">
                    <p>{page.why ?? "It does not say why."}</p>
                  </Note>
                </div>
              );
            const items = page.rows as unknown as { index: number; row: unknown }[];
            const total = page.total;
            const end = offset + items.length;
            return (
              <div className="panel__body" aria-busy={rows.isPlaceholderData || undefined}>
                <div className="between">
                  <p aria-live="polite">
                    {items.length === 0
                      ? "No row here"
                      : `Rows ${number(offset + 1)} to ${number(end)}${total === null ? "" : ` of ${number(total)}`}`}
                  </p>
                  <span className="actions">
                    <Button
                      disabled={offset === 0}
                      onClick={() => go({ after: offset > PAGE ? String(offset - PAGE) : "" })}
                    >
                      Earlier
                    </Button>
                    <Button
                      disabled={total === null ? items.length < PAGE : end >= total}
                      onClick={() => go({ after: String(offset + PAGE) })}
                    >
                      Later
                    </Button>
                  </span>
                </div>
                {items.map((item, at) => (
                  <details key={item.index} className="item" open={at === 0}>
                    <summary>Row {number(item.index + 1)}</summary>
                    <RowView row={item.row} />
                  </details>
                ))}
              </div>
            );
          }}
        </Load>
      </Panel>
      <Confirm
        title="Delete this dataset?"
        open={asking}
        close={() => setAsking(false)}
        action="Delete for good"
        typed={repo}
        run={async () => {
          await remove.mutateAsync();
          toast(`${repo} is deleted`);
          void navigate(paths.datasets());
        }}
      >
        <p>
          The repository goes with all its revisions. Students that were trained on it stay, and can no longer be traced
          to their rows.
        </p>
      </Confirm>
    </>
  );
}
