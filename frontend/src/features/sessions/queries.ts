import { infiniteQueryOptions, queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { api, take } from "../../api/client";

export const sessionsQuery = (path: string) =>
  infiniteQueryOptions({
    queryKey: ["sessions", "all", { path }],
    queryFn: ({ pageParam, signal }) =>
      take(
        api.GET("/api/sessions", {
          params: { query: { limit: 100, ...(path ? { path } : {}), ...(pageParam ? { after: pageParam } : {}) } },
          signal,
        }),
      ),
    initialPageParam: "",
    getNextPageParam: (page) => page.next,
    staleTime: 30_000,
  });

export const lastBuildsQuery = queryOptions({
  queryKey: ["tasks", "dataset_build", "last"],
  queryFn: ({ signal }) =>
    take(api.GET("/api/tasks", { params: { query: { kind: "dataset_build", limit: 10 } }, signal })),
});

export function useBuild() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: ({ key, ...body }: { key: string; name: string; paths?: string[] }) =>
      take(api.POST("/api/datasets", { body, headers: { "idempotency-key": key } })),
    onSuccess: () => client.invalidateQueries({ queryKey: ["tasks"] }),
  });
}
