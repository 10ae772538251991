import { infiniteQueryOptions, queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { api, take } from "../../api/client";

const PAGE = 50;

export const jobsQuery = (search: { stage?: string; label?: string }) =>
  infiniteQueryOptions({
    queryKey: ["jobs", search],
    queryFn: ({ pageParam, signal }) =>
      take(
        api.GET("/api/hf/jobs", {
          params: { query: { limit: PAGE, ...search, ...(pageParam ? { after: pageParam } : {}) } },
          signal,
        }),
      ),
    initialPageParam: "",
    getNextPageParam: (page) => page.next,
    refetchInterval: 15_000,
  });

/** Jobs that were sent for one run: its attempts, the latest first. */
export const attemptsQuery = (run: string) =>
  queryOptions({
    queryKey: ["jobs", { run }],
    queryFn: ({ signal }) =>
      take(api.GET("/api/hf/jobs", { params: { query: { label: `bashgym-run=${run}`, limit: 20 } }, signal })),
  });

export const jobQuery = (id: string) =>
  queryOptions({
    queryKey: ["job", id],
    queryFn: ({ signal }) => take(api.GET("/api/hf/jobs/{id}", { params: { path: { id } }, signal })),
    // Jobs that this server does not follow tell no events.
    refetchInterval: (query) => (query.state.data?.is_over === false ? 5_000 : false),
  });

export const jobRunQuery = (id: string) =>
  queryOptions({
    queryKey: ["run", id],
    queryFn: ({ signal }) => take(api.GET("/api/runs/{id}", { params: { path: { id } }, signal })),
  });

/** What was set aside for a run's jobs and what they cost. */
export const runCostQuery = (run: string) =>
  queryOptions({
    queryKey: ["usage", { run }],
    queryFn: ({ signal }) =>
      take(api.GET("/api/usage/entries", { params: { query: { run, service: "jobs" } }, signal })),
  });

export function useCancelJob(id: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: () => take(api.DELETE("/api/hf/jobs/{id}", { params: { path: { id } } })),
    onSuccess: (job) => {
      client.setQueryData(jobQuery(id).queryKey, job);
      void client.invalidateQueries({ queryKey: ["jobs"] });
    },
  });
}
