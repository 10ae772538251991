import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useSearchParams } from "react-router";
import { Load } from "../../../ui/load";
import { Button, Panel, Skeleton, Tabs } from "../../../ui/parts";
import { offsetOf, search } from "../model";
import { builtCardQuery, builtRowsQuery } from "../queries";
import { CardView } from "./CardView";
import { RowList } from "./RowList";

const tabs = [
  { id: "train", label: "To train on" },
  { id: "validation", label: "Held out" },
  { id: "card", label: "Card" },
] as const;

/** The rows of a dataset that was built here, before it is sent anywhere, and its card. */
export function BuiltRows({ name }: { name: string }) {
  const [params, setParams] = useSearchParams();
  const tab = tabs.find((one) => one.id === params.get("split"))?.id ?? "train";
  const session = params.get("session") ?? "";
  const offset = offsetOf(params.get("after"));
  const split = tab === "card" ? "train" : tab;
  const rows = useQuery({
    ...builtRowsQuery(name, { split, session, offset }),
    placeholderData: keepPreviousData,
    enabled: tab !== "card",
  });
  const card = useQuery({ ...builtCardQuery(name), enabled: tab === "card" });
  const go = (next: Record<string, string>) => setParams((now) => search(now, next));
  return (
    <Panel title="What is in it" flush>
      <Tabs
        label="Split or card"
        tabs={tabs}
        chosen={tab}
        choose={(id) => go({ split: id === "train" ? "" : id, after: "" })}
      />
      {session && tab !== "card" ? (
        <div className="panel__body">
          <div className="between">
            <span>
              Only rows of session <code>{session}</code>
            </span>
            <Button onClick={() => go({ session: "", after: "" })}>All rows</Button>
          </div>
        </div>
      ) : null}
      {tab === "card" ? (
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
          {(page) => (
            <RowList
              rows={page.rows}
              total={page.total}
              offset={offset}
              stale={rows.isPlaceholderData}
              go={(to) => go({ after: to > 0 ? String(to) : "" })}
            />
          )}
        </Load>
      )}
    </Panel>
  );
}
