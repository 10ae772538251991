import { infiniteQueryOptions, queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { api, take } from "../../api/client";

export const PAGE = 10;

export const reposQuery = (prefix: string) =>
  infiniteQueryOptions({
    queryKey: ["datasets", "hub", { prefix }],
    queryFn: ({ pageParam, signal }) =>
      take(
        api.GET("/api/hf/datasets", {
          params: { query: { limit: 50, ...(prefix ? { prefix } : {}), ...(pageParam ? { after: pageParam } : {}) } },
          signal,
        }),
      ),
    initialPageParam: "",
    getNextPageParam: (page) => page.next,
  });

export const rowsQuery = (repo: string, at: { config: string; split: string; offset: number }) =>
  queryOptions({
    queryKey: ["datasets", "rows", repo, at],
    queryFn: ({ signal }) => {
      const { config, ...rest } = at;
      const query = { ...rest, limit: PAGE, ...(config ? { config } : {}) };
      return take(api.GET("/api/hf/datasets/{repo}/rows", { params: { path: { repo }, query }, signal }));
    },
    // The viewer reads a new dataset in its own time, and tells no event.
    refetchInterval: (query) => (query.state.data?.state === "pending" ? 3_000 : false),
  });

export const hubCardQuery = (repo: string) =>
  queryOptions({
    queryKey: ["datasets", "card", repo],
    queryFn: ({ signal }) => take(api.GET("/api/hf/datasets/{repo}/card", { params: { path: { repo } }, signal })),
  });

export const builtQuery = infiniteQueryOptions({
  queryKey: ["datasets", "built"],
  queryFn: ({ pageParam, signal }) =>
    take(
      api.GET("/api/datasets", {
        params: { query: { limit: 50, ...(pageParam ? { after: pageParam } : {}) } },
        signal,
      }),
    ),
  initialPageParam: "",
  getNextPageParam: (page) => page.next,
});

export const builtRowsQuery = (name: string, at: { split: string; session: string; offset: number }) =>
  queryOptions({
    queryKey: ["datasets", "built", name, at],
    queryFn: ({ signal }) => {
      const { session, ...rest } = at;
      const query = { ...rest, limit: PAGE, ...(session ? { session } : {}) };
      return take(api.GET("/api/datasets/{name}/rows", { params: { path: { name }, query }, signal }));
    },
  });

export const builtCardQuery = (name: string) =>
  queryOptions({
    queryKey: ["datasets", "built", name, "card"],
    queryFn: ({ signal }) => take(api.GET("/api/datasets/{name}/card", { params: { path: { name } }, signal })),
  });

export const findingsQuery = (name: string) =>
  queryOptions({
    queryKey: ["datasets", "findings", name],
    queryFn: ({ signal }) => take(api.GET("/api/datasets/{name}/findings", { params: { path: { name } }, signal })),
  });

export function useDecide(name: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: ({ id, allow }: { id: string; allow: boolean }) =>
      take(api.PUT("/api/datasets/{name}/findings/{id}", { params: { path: { name, id } }, body: { allow } })),
    onSuccess: () => client.invalidateQueries({ queryKey: ["datasets", "findings", name] }),
  });
}

export function useUpload() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: ({ key, ...body }: { key: string; name: string; repo: string; public: boolean }) =>
      take(api.POST("/api/hf/datasets", { body, headers: { "idempotency-key": key } })),
    onSuccess: () => client.invalidateQueries({ queryKey: ["tasks"] }),
  });
}

export function useRemoveRepo(repo: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: () =>
      take(api.DELETE("/api/hf/datasets/{repo}", { params: { path: { repo }, header: { "X-Confirm": repo } } })),
    onSuccess: () => client.invalidateQueries({ queryKey: ["datasets", "hub"] }),
  });
}
