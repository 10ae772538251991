import { Button } from "./parts";

type Paged = { hasNextPage: boolean; isFetchingNextPage: boolean; fetchNextPage: () => unknown };

/** The items of all pages that were fetched. */
export const itemsOf = <T,>(data: { pages: readonly { items: T[] }[] }): T[] =>
  data.pages.flatMap((page) => page.items);

/** The way to the next page of a list, where there is one. In a flush panel it brings its own margins. */
export function ShowMore({ query, flush = false }: { query: Paged; flush?: boolean }) {
  if (!query.hasNextPage) return null;
  const more = (
    <div>
      <Button busy={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
        Show more
      </Button>
    </div>
  );
  return flush ? <div className="panel__body">{more}</div> : more;
}
