import { infiniteQueryOptions } from "@tanstack/react-query";
import { api, take } from "../../api/client";
import type { LiveEvent } from "../../api/live";

const PAGE = 100;

export type Log = { events: LiveEvent[]; next: string | null };

/** The events of some topics, the newest first; what only says that something goes on is left out. */
export const eventsQuery = (topics: string) =>
  infiniteQueryOptions({
    queryKey: ["activity", { topics }],
    queryFn: async ({ pageParam, signal }): Promise<Log> => {
      const query = { limit: PAGE, order: "desc", quiet: true, topics, ...(pageParam ? { after: pageParam } : {}) };
      const answer = await take(api.GET("/api/events/log", { params: { query }, signal }));
      return {
        events: answer.items as unknown as LiveEvent[],
        next: answer.meta.more ? String(answer.meta.after) : null,
      };
    },
    initialPageParam: "",
    getNextPageParam: (page) => page.next,
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
