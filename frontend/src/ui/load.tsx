import type { UseQueryResult } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { FailureNote } from "./failure";
import { Skeleton } from "./parts";

/** What a query has: its data, the room for it, or why not. Data that could not be refreshed stays, and says so. */
export function Load<T>({
  query,
  skeleton,
  children,
}: {
  query: UseQueryResult<T>;
  skeleton?: ReactNode;
  children: (data: T) => ReactNode;
}) {
  if (query.data !== undefined) {
    return (
      <>
        {query.isError ? (
          <FailureNote
            error={query.error}
            title="This may be old: it could not be refreshed"
            retry={() => void query.refetch()}
          />
        ) : null}
        {children(query.data)}
      </>
    );
  }
  if (query.isError) return <FailureNote error={query.error} retry={() => void query.refetch()} />;
  return (
    <div role="status" aria-label="Loading">
      {skeleton ?? <Skeleton />}
    </div>
  );
}
