import { MutationCache, QueryCache, QueryClient } from "@tanstack/react-query";
import { asFailure } from "./errors";
import { type LiveEvent, live } from "./live";

/**
 * Which answers an event makes old, by the first word of a query's key. Keys begin with one of: `account`, `wallet`,
 * `jobs`, `job`, `runs`, `run`, `tasks`, `datasets`, `spaces`, `budget`, `usage`, `settings`, `sessions`, `router`, `next`.
 */
export function madeOld(event: Pick<LiveEvent, "type" | "topic">): string[][] {
  const [noun, ...rest] = event.topic.split(":");
  const id = rest.join(":");
  switch (noun) {
    case "job":
    case "launch":
      // Lines are fetched by the log itself.
      if (event.type === "hf:job:log" || event.type === "hf:job:metrics") return [];
      return [["jobs"], ["job", id], ["next"]];
    case "run":
      return [["runs"], ["run", id], ["next"]];
    case "task":
      return event.type === "task:progress" ? [["tasks"]] : [["tasks"], ["datasets"], ["next"]];
    case "budget":
      return [["budget"], ["usage"], ["wallet"]];
    case "space":
      return [["spaces"], ["space", id], ["next"]];
    default:
      return [];
  }
}

export const queries = new QueryClient({
  queryCache: new QueryCache(),
  mutationCache: new MutationCache(),
  defaultOptions: {
    queries: {
      staleTime: 5_000,
      retry: (times, error) => {
        const { status } = asFailure(error);
        return times < 2 && (status === 0 || status === 502 || status === 503 || status === 504);
      },
      retryDelay: (times) => Math.min(500 * 2 ** times, 5_000),
    },
    mutations: { retry: false },
  },
});

/** Lets events make answers old. They are gathered for a moment, so that a burst asks once. */
export function followEvents(client: QueryClient, source = live) {
  const old = new Map<string, string[]>();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const flush = () => {
    timer = undefined;
    for (const key of old.values()) void client.invalidateQueries({ queryKey: key });
    old.clear();
  };
  const stop = source.listen(
    "*",
    (event) => {
      for (const key of madeOld(event)) old.set(key.join(" "), key);
      if (old.size > 0) timer ??= setTimeout(flush, 150);
    },
    () => void client.invalidateQueries(),
  );
  return () => {
    clearTimeout(timer);
    stop();
  };
}
