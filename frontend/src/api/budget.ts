import { queryOptions } from "@tanstack/react-query";
import { api, take } from "./client";

/** What may be spent, what is set aside, what was spent. */
export const budgetQuery = queryOptions({
  queryKey: ["budget"],
  queryFn: ({ signal }) => take(api.GET("/api/budget", { signal })),
});
