import { number } from "../../../lib/format";
import { Button } from "../../../ui/parts";
import { PAGE } from "../queries";
import { RowView } from "./RowView";

/** A page of rows, and the ways to those before and behind it. */
export function RowList({
  rows,
  total,
  offset,
  stale,
  go,
}: {
  rows: unknown;
  total: number | null;
  offset: number;
  stale: boolean;
  go: (offset: number) => void;
}) {
  const items = rows as { index: number; row: unknown }[];
  const end = offset + items.length;
  return (
    <div className="panel__body" aria-busy={stale || undefined}>
      <div className="between">
        <p aria-live="polite">
          {items.length === 0
            ? "No row here"
            : `Rows ${number(offset + 1)} to ${number(end)}${total === null ? "" : ` of ${number(total)}`}`}
        </p>
        <span className="actions">
          <Button disabled={offset === 0} onClick={() => go(Math.max(0, offset - PAGE))}>
            Earlier
          </Button>
          <Button disabled={total === null ? items.length < PAGE : end >= total} onClick={() => go(offset + PAGE)}>
            Later
          </Button>
        </span>
      </div>
      {items.map((item, at) => (
        <details key={item.index} className="item" open={at === 0}>
          <summary>Row {number(item.index + 1)}</summary>
          {item.row === null ? <p className="quiet">This row does not read as JSON.</p> : <RowView row={item.row} />}
        </details>
      ))}
    </div>
  );
}
