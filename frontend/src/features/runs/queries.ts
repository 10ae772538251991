import { infiniteQueryOptions, queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { api, take } from "../../api/client";

const MOST_PAGES = 20;

export const runsQuery = infiniteQueryOptions({
  queryKey: ["runs", "all"],
  queryFn: ({ pageParam, signal }) =>
    take(
      api.GET("/api/runs", { params: { query: { limit: 50, ...(pageParam ? { after: pageParam } : {}) } }, signal }),
    ),
  initialPageParam: "",
  getNextPageParam: (page) => page.next,
});

export const runQuery = (id: string) =>
  queryOptions({
    queryKey: ["run", id],
    queryFn: ({ signal }) => take(api.GET("/api/runs/{id}", { params: { path: { id } }, signal })),
  });

export type RunEvent = { event?: string; stage?: string; status?: string; [more: string]: unknown };
type EventPage = { items: { seq: number; event: RunEvent }[]; next: string | null };

export const runEventsQuery = (id: string) =>
  queryOptions({
    queryKey: ["run", id, "events"],
    queryFn: async ({ signal }) => {
      const events: RunEvent[] = [];
      let after: string | null = null;
      for (let page = 0; page < MOST_PAGES; page += 1) {
        const query: { limit: number; after?: string } = after ? { limit: 500, after } : { limit: 500 };
        // The description leaves the page of a run's words open.
        const answer = (await take(
          api.GET("/api/runs/{id}/events", { params: { path: { id }, query }, signal }),
        )) as unknown as EventPage;
        events.push(...answer.items.map((item) => item.event));
        after = answer.next;
        if (!after) break;
      }
      return events;
    },
  });

export const runCostQuery = (run: string) =>
  queryOptions({
    queryKey: ["usage", { run }, "all"],
    queryFn: ({ signal }) => take(api.GET("/api/usage/entries", { params: { query: { run } }, signal })),
  });

export function useCancelRun(id: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: () => take(api.POST("/api/runs/{id}/cancel", { params: { path: { id } } })),
    onSuccess: (run) => {
      client.setQueryData(runQuery(id).queryKey, run);
      void client.invalidateQueries({ queryKey: ["runs"] });
    },
  });
}
