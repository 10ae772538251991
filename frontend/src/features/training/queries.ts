import { keepPreviousData, queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { api, take } from "../../api/client";
import type { TrainPlan, TrainRequest } from "./model";

export const datasetsQuery = queryOptions({
  queryKey: ["datasets", "choice"],
  queryFn: ({ signal }) => take(api.GET("/api/hf/datasets", { params: { query: { limit: 100 } }, signal })),
});

export const hardwareQuery = queryOptions({
  queryKey: ["hardware"],
  queryFn: ({ signal }) => take(api.GET("/api/hf/hardware", { signal })),
  staleTime: 60_000,
});

export const planQuery = (request: TrainRequest | null) =>
  queryOptions({
    queryKey: ["plan", request],
    queryFn: async ({ signal }) => {
      if (!request) throw new Error("there is nothing to plan yet");
      return (await take(api.POST("/api/training/plans", { body: request, signal }))) as unknown as TrainPlan;
    },
    enabled: request !== null,
    placeholderData: keepPreviousData,
    staleTime: 30_000,
    retry: false,
  });

export const startedRunQuery = (id: string) =>
  queryOptions({
    queryKey: ["run", id],
    queryFn: ({ signal }) => take(api.GET("/api/runs/{id}", { params: { path: { id } }, signal })),
    refetchInterval: (query) => (query.state.data?.job_id ? false : 1_000),
  });

export function useStartTraining() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: ({ request, key }: { request: TrainRequest; key: string }) =>
      take(api.POST("/api/training", { body: request, headers: { "idempotency-key": key } })),
    onSuccess: () => {
      for (const noun of ["runs", "jobs", "budget", "usage", "next"])
        void client.invalidateQueries({ queryKey: [noun] });
    },
  });
}
