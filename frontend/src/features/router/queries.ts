import {
  infiniteQueryOptions,
  keepPreviousData,
  queryOptions,
  useMutation,
  useQueryClient,
} from "@tanstack/react-query";
import { api, take } from "../../api/client";

const PAGE = 50;
/** Calls of the gateway tell no event. */
const LOOK_MS = 5_000;
const LOOK_RARELY_MS = 30_000;

export const routerQuery = queryOptions({
  queryKey: ["router", "now"],
  queryFn: ({ signal }) => take(api.GET("/api/router", { signal })),
  refetchInterval: LOOK_RARELY_MS,
});

export type Filters = {
  kind?: string;
  model?: string;
  strategy?: string;
  state?: string;
  verdict?: string;
  kept?: boolean;
};

export const decisionsQuery = (filters: Filters) =>
  infiniteQueryOptions({
    queryKey: ["router", "decisions", filters],
    queryFn: ({ pageParam, signal }) =>
      take(
        api.GET("/api/router/decisions", {
          params: { query: { limit: PAGE, ...filters, ...(pageParam ? { after: pageParam } : {}) } },
          signal,
        }),
      ),
    initialPageParam: "",
    getNextPageParam: (page) => page.next,
    refetchInterval: LOOK_MS,
    placeholderData: keepPreviousData,
  });

export const decisionQuery = (id: string) =>
  queryOptions({
    queryKey: ["router", "decision", id],
    queryFn: ({ signal }) => take(api.GET("/api/router/decisions/{id}", { params: { path: { id } }, signal })),
    enabled: id !== "",
  });

export const reportQuery = (seconds: string) =>
  queryOptions({
    queryKey: ["router", "report", seconds],
    queryFn: ({ signal }) =>
      take(api.GET("/api/router/report", { params: { query: seconds ? { seconds: Number(seconds) } : {} }, signal })),
    refetchInterval: LOOK_RARELY_MS,
    placeholderData: keepPreviousData,
  });

export const replayQuery = (seconds: string, strategies: string) =>
  queryOptions({
    queryKey: ["router", "replay", seconds, strategies],
    queryFn: ({ signal }) =>
      take(
        api.GET("/api/router/replay", {
          params: {
            query: { ...(strategies ? { strategies } : {}), ...(seconds ? { seconds: Number(seconds) } : {}) },
          },
          signal,
        }),
      ),
    placeholderData: keepPreviousData,
  });

export const modelsQuery = queryOptions({
  queryKey: ["router", "models"],
  queryFn: ({ signal }) => take(api.GET("/v1/models", { signal })),
  staleTime: 60_000,
});

export const settingsQuery = queryOptions({
  queryKey: ["settings"],
  queryFn: ({ signal }) => take(api.GET("/api/settings", { signal })),
});

export function useJudge() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: ({ id, good }: { id: string; good: boolean }) =>
      take(api.PUT("/api/router/decisions/{id}/verdict", { params: { path: { id } }, body: { good } })),
    onSuccess: (detail, { id }) => {
      client.setQueryData(decisionQuery(id).queryKey, detail);
      return client.invalidateQueries({ queryKey: ["router"] });
    },
  });
}
