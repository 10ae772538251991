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

/** How the demo stands. It is asked for again while it goes on, should its events not come. */
export const demoQuery = queryOptions({
  queryKey: ["runs", "demo"],
  queryFn: ({ signal }) => take(api.GET("/api/demo", { signal })),
  refetchInterval: (query) => (["queued", "running"].includes(query.state.data?.task?.state ?? "") ? 3_000 : false),
});

/** Sample sessions, a dataset of them, a student, its answers: all on this machine. */
export function useStartDemo() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: () => take(api.POST("/api/demo", { body: {} })),
    onSuccess: () => client.invalidateQueries(),
  });
}

export function useStopDemo() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (id: string) => take(api.POST("/api/runs/{id}/cancel", { params: { path: { id } } })),
    onSuccess: () => client.invalidateQueries(),
  });
}
