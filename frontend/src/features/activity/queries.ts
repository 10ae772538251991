import { infiniteQueryOptions, queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { api, take } from "../../api/client";
import type { LiveEvent } from "../../api/live";
import { gather } from "./model";

const MOST_PAGES = 40;

export type Log = { events: LiveEvent[]; hasMore: boolean };

/** The latest events of the log. It is told oldest first, so it is read to its end. */
export const eventsQuery = (topics: string) =>
  queryOptions({
    queryKey: ["activity", { topics }],
    queryFn: async ({ signal }): Promise<Log> => {
      let events: LiveEvent[] = [];
      let after: string | undefined;
      for (let page = 0; page < MOST_PAGES; page += 1) {
        const query = { limit: 500, topics, ...(after === undefined ? {} : { after }) };
        const answer = await take(api.GET("/api/events/log", { params: { query }, signal }));
        events = gather(events, answer.items as unknown as LiveEvent[]);
        if (!answer.meta.more) return { events, hasMore: false };
        after = String(answer.meta.after);
      }
      return { events, hasMore: true };
    },
  });

export const tasksQuery = infiniteQueryOptions({
  queryKey: ["tasks", "all"],
  queryFn: ({ pageParam, signal }) =>
    take(
      api.GET("/api/tasks", { params: { query: { limit: 20, ...(pageParam ? { after: pageParam } : {}) } }, signal }),
    ),
  initialPageParam: "",
  getNextPageParam: (page) => page.next,
});

export function useStopTask() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (id: string) => take(api.DELETE("/api/tasks/{id}", { params: { path: { id } } })),
    onSuccess: () => client.invalidateQueries({ queryKey: ["tasks"] }),
  });
}
