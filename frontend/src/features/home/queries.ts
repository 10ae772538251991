import { queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { api, intentKey, take } from "../../api/client";

const few = { params: { query: { limit: 5 } } };

export const sessionsQuery = queryOptions({
  queryKey: ["sessions", "home"],
  queryFn: ({ signal }) => take(api.GET("/api/sessions", { params: { query: { limit: 100 } }, signal })),
  staleTime: 60_000,
});

export const datasetsQuery = queryOptions({
  queryKey: ["datasets", "home"],
  queryFn: ({ signal }) => take(api.GET("/api/hf/datasets", { ...few, signal })),
});

export const runsQuery = queryOptions({
  queryKey: ["runs", "home"],
  queryFn: ({ signal }) => take(api.GET("/api/runs", { ...few, signal })),
});

export const jobsQuery = queryOptions({
  queryKey: ["jobs", "home"],
  queryFn: ({ signal }) => take(api.GET("/api/hf/jobs", { ...few, signal })),
});

export const budgetQuery = queryOptions({
  queryKey: ["budget"],
  queryFn: ({ signal }) => take(api.GET("/api/budget", { signal })),
});

/** Asks for something that needs the Hub: the embedded one is started by it. */
export function useStartHub() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: () => take(api.GET("/api/hf/hardware")),
    onSuccess: () => client.invalidateQueries(),
  });
}

/** The whole loop on this machine's own sessions. */
export function useRunAll() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: () => take(api.POST("/api/runs", { body: {}, headers: { "idempotency-key": intentKey() } })),
    onSuccess: () => client.invalidateQueries(),
  });
}
