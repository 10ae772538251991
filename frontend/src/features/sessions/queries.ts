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

export type SessionName = { file: string; id: string };
const named = ({ file, id }: SessionName) => ({ file, ...(id ? { session_id: id } : {}) });

export const sessionQuery = (name: SessionName) =>
  queryOptions({
    queryKey: ["sessions", "one", name],
    queryFn: ({ signal }) => take(api.GET("/api/sessions/session", { params: { query: named(name) }, signal })),
    staleTime: 60_000,
  });

/** The steps of a conversation, from a step on. */
export const stepsQuery = (name: SessionName, conversation: number, at: number) =>
  infiniteQueryOptions({
    queryKey: ["sessions", "steps", name, conversation, at],
    queryFn: ({ pageParam, signal }) =>
      take(
        api.GET("/api/sessions/steps", {
          params: { query: { ...named(name), conversation, limit: 100, ...(pageParam ? { after: pageParam } : {}) } },
          signal,
        }),
      ),
    initialPageParam: at > 1 ? String(at - 1) : "",
    getNextPageParam: (page) => page.next,
    staleTime: 60_000,
  });

/** The datasets that have rows of a session. */
export const rowsOfQuery = (session: string) =>
  queryOptions({
    queryKey: ["datasets", "of", session],
    queryFn: ({ signal }) => take(api.GET("/api/datasets", { params: { query: { session, limit: 50 } }, signal })),
  });

export const lastBuildsQuery = queryOptions({
  queryKey: ["tasks", "dataset_build", "last"],
  queryFn: ({ signal }) =>
    take(api.GET("/api/tasks", { params: { query: { kind: "dataset_build", limit: 10 } }, signal })),
});

/** What is kept of the originals. */
export const archiveQuery = queryOptions({
  queryKey: ["sessions", "archive"],
  queryFn: ({ signal }) => take(api.GET("/api/sessions/archive", { signal })),
});

/** Keeps the originals as they are now. */
export function useKeep() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: ({ key, ...body }: { key: string; paths?: string[] }) =>
      take(api.POST("/api/sessions/archive", { body, headers: { "idempotency-key": key } })),
    onSuccess: () => client.invalidateQueries({ queryKey: ["tasks"] }),
  });
}

/** Reads sessions once and remembers what each holds. */
export function useImport() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: ({ key, ...body }: { key: string; paths?: string[] }) =>
      take(api.POST("/api/sessions/import", { body, headers: { "idempotency-key": key } })),
    onSuccess: () => client.invalidateQueries({ queryKey: ["tasks"] }),
  });
}

export function useBuild() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: ({ key, ...body }: { key: string; name: string; paths?: string[] }) =>
      take(api.POST("/api/datasets", { body, headers: { "idempotency-key": key } })),
    onSuccess: () => client.invalidateQueries({ queryKey: ["tasks"] }),
  });
}
