import { queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { api, take } from "./client";

/** A task; it is asked for again until it is over, should its events not come. */
export const taskQuery = (id: string) =>
  queryOptions({
    queryKey: ["tasks", id],
    queryFn: ({ signal }) => take(api.GET("/api/tasks/{id}", { params: { path: { id } }, signal })),
    enabled: id !== "",
    refetchInterval: (query) =>
      query.state.data && !["queued", "running"].includes(query.state.data.state) ? false : 2_000,
  });

/** Asks a task to stop. */
export function useStopTask() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (id: string) => take(api.DELETE("/api/tasks/{id}", { params: { path: { id } } })),
    onSuccess: () => client.invalidateQueries({ queryKey: ["tasks"] }),
  });
}
