import { infiniteQueryOptions, queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { type Book, ofBook } from "../../api/budget";
import { api, take } from "../../api/client";

export const sumsQuery = (by: string, book: Book) =>
  queryOptions({
    queryKey: ["usage", "sums", { by, book }],
    queryFn: ({ signal }) =>
      take(api.GET("/api/usage", { params: { query: { by, limit: 60, ...ofBook(book) } }, signal })),
  });

export const callsQuery = (by: string) =>
  queryOptions({
    queryKey: ["usage", "calls", { by }],
    queryFn: ({ signal }) => take(api.GET("/api/hf/inference/usage", { params: { query: { by, limit: 60 } }, signal })),
  });

export const entriesQuery = (service: string, book: Book) =>
  infiniteQueryOptions({
    queryKey: ["usage", "entries", { service, book }],
    queryFn: ({ pageParam, signal }) =>
      take(
        api.GET("/api/usage/entries", {
          params: {
            query: {
              limit: 50,
              ...ofBook(book),
              ...(service ? { service } : {}),
              ...(pageParam ? { after: pageParam } : {}),
            },
          },
          signal,
        }),
      ),
    initialPageParam: "",
    getNextPageParam: (page) => page.next,
  });

type Place = { service: string; window: string };

export function useSetCap() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: ({ micro_usd, ...path }: Place & { micro_usd: number }) =>
      take(api.PUT("/api/budget/{service}/{window}", { params: { path }, body: { micro_usd } })),
    onSuccess: () => client.invalidateQueries({ queryKey: ["budget"] }),
  });
}

export function useRemoveCap() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (path: Place) => take(api.DELETE("/api/budget/{service}/{window}", { params: { path } })),
    onSuccess: () => client.invalidateQueries({ queryKey: ["budget"] }),
  });
}
