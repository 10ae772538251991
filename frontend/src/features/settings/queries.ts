import { queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { api, take } from "../../api/client";

export const settingsQuery = queryOptions({
  queryKey: ["settings"],
  queryFn: ({ signal }) => take(api.GET("/api/settings", { signal })),
});

export const tokenQuery = queryOptions({
  queryKey: ["settings", "token"],
  queryFn: ({ signal }) => take(api.GET("/api/settings/token", { signal })),
});

export const versionQuery = queryOptions({
  queryKey: ["settings", "version"],
  queryFn: ({ signal }) => take(api.GET("/api/version", { signal })),
  staleTime: Number.POSITIVE_INFINITY,
});

/** Another token is another account: everything is asked anew. */
function useEverythingOld() {
  const client = useQueryClient();
  return () => client.invalidateQueries();
}

export function useReplaceToken() {
  const onSuccess = useEverythingOld();
  return useMutation({
    mutationFn: (token: string) => take(api.PUT("/api/settings/token", { body: { token } })),
    onSuccess,
  });
}

export function useRemoveToken() {
  const onSuccess = useEverythingOld();
  return useMutation({ mutationFn: () => take(api.DELETE("/api/settings/token")), onSuccess });
}

export function useSignOut() {
  return useMutation({
    mutationFn: () => take(api.DELETE("/api/session")),
    onSuccess: () => window.location.reload(),
  });
}

export const rootsQuery = queryOptions({
  queryKey: ["settings", "roots"],
  queryFn: ({ signal }) => take(api.GET("/api/settings/roots", { signal })),
});

/** Another owner is another set of repositories and another bill: everything is asked anew. */
export function useSetOrg() {
  const onSuccess = useEverythingOld();
  return useMutation({
    mutationFn: (name: string | null) => take(api.PUT("/api/settings/default_org", { body: { name } })),
    onSuccess,
  });
}

export function useSetRoots() {
  const onSuccess = useEverythingOld();
  return useMutation({
    mutationFn: (folders: string[]) => take(api.PUT("/api/settings/roots", { body: { folders } })),
    onSuccess,
  });
}
