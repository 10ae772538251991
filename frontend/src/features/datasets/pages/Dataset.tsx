import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useNavigate, useParams, useSearchParams } from "react-router";
import { statusQuery } from "../../../api/status";
import { paths } from "../../../lib/paths";
import { Confirm } from "../../../ui/dialog";
import { Icon } from "../../../ui/icons";
import { Load } from "../../../ui/load";
import { Button, Note, PageHead, Panel, Skeleton, Tabs } from "../../../ui/parts";
import { toast } from "../../../ui/toasts";
import { BuiltDataset } from "../components/BuiltDataset";
import { CardView } from "../components/CardView";
import { RowList } from "../components/RowList";
import { search as changed, isRepo, offsetOf } from "../model";
import { hubCardQuery, rowsQuery, useRemoveRepo } from "../queries";

const labels: Record<string, string> = { train: "To train on", validation: "Held out" };
type Split = { config: string; split: string };

/** A tab for each split of each config, and one for the card. */
function tabsOf(splits: readonly Split[], chosen: Split) {
  const all = splits.length > 0 ? splits : [chosen];
  const configs = new Set(all.map((one) => one.config)).size;
  return [
    ...all.map((one) => ({
      id: `${one.config}/${one.split}`,
      label: `${configs > 1 ? `${one.config}: ` : ""}${labels[one.split] ?? one.split}`,
    })),
    { id: "card", label: "Card" },
  ];
}

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
  const asked = search.get("split") ?? "train";
  const isCard = asked === "card";
  const split = isCard ? "train" : asked;
  const config = search.get("config") ?? "";
  const offset = offsetOf(search.get("after"));
  const rows = useQuery({
    ...rowsQuery(repo, { config, split, offset }),
    placeholderData: keepPreviousData,
    enabled: !isCard,
  });
  const card = useQuery({ ...hubCardQuery(repo), enabled: isCard });
  const splits = rows.data?.splits ?? [];
  const chosen = splits.find((one) => one.split === split && (!config || one.config === config)) ?? { config, split };
  const go = (next: Record<string, string>) => setSearch((now) => changed(now, next));
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
      <Panel title="What is in it" flush>
        <Tabs
          label="Split or card"
          tabs={tabsOf(splits, chosen)}
          chosen={isCard ? "card" : `${chosen.config}/${chosen.split}`}
          choose={(id) => {
            const [config = "", split = ""] = id === "card" ? ["", "card"] : id.split("/");
            go({
              config: splits[0]?.config === config ? "" : config,
              split: split === "train" ? "" : split,
              after: "",
            });
          }}
        />
        {isCard ? (
          <CardView query={card} />
        ) : (
          <Load
            query={rows}
            skeleton={
              <div className="panel__body">
                <Skeleton lines={12} />
              </div>
            }
          >
            {(page) =>
              page.state === "ready" ? (
                <RowList
                  rows={page.rows}
                  total={page.total}
                  offset={offset}
                  stale={rows.isPlaceholderData}
                  go={(to) => go({ after: to > 0 ? String(to) : "" })}
                />
              ) : (
                <div className="panel__body">
                  {page.state === "pending" ? (
                    <Note tone="info" title="The viewer has not read this dataset yet">
                      <p>It does so after each upload. This page looks again by itself.</p>
                    </Note>
                  ) : (
                    <Note tone="warn" title="The viewer does not show these rows">
                      <p>{page.why ?? "It does not say why."}</p>
                    </Note>
                  )}
                </div>
              )
            }
          </Load>
        )}
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
