import { infiniteQueryOptions, queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { api, type Schema, take } from "../../api/client";

const PAGE = 50;
const at = (name: string) => ({ params: { path: { name } } });

export const spacesQuery = infiniteQueryOptions({
  queryKey: ["spaces", "all"],
  queryFn: ({ pageParam, signal }) =>
    take(
      api.GET("/api/hf/spaces", {
        params: { query: { limit: PAGE, ...(pageParam ? { after: pageParam } : {}) } },
        signal,
      }),
    ),
  initialPageParam: "",
  getNextPageParam: (page) => page.next,
});

export const spaceQuery = (name: string) =>
  queryOptions({
    queryKey: ["space", name],
    queryFn: ({ signal }) => take(api.GET("/api/hf/spaces/{name}", { ...at(name), signal })),
    // A change that was not asked for here tells no event.
    refetchInterval: (query) => (query.state.data?.is_changing ? 2_000 : 30_000),
  });

export const hardwareQuery = queryOptions({
  queryKey: ["space-hardware"],
  queryFn: ({ signal }) => take(api.GET("/api/hf/space-hardware", { signal })),
  staleTime: 60_000,
});

export const studentsQuery = queryOptions({
  queryKey: ["runs", "students"],
  queryFn: ({ signal }) => take(api.GET("/api/runs", { params: { query: { limit: 100 } }, signal })),
});

export const secretsQuery = (name: string) =>
  queryOptions({
    queryKey: ["space", name, "secrets"],
    queryFn: ({ signal }) => take(api.GET("/api/hf/spaces/{name}/secrets", { ...at(name), signal })),
  });

export const variablesQuery = (name: string) =>
  queryOptions({
    queryKey: ["space", name, "variables"],
    queryFn: ({ signal }) => take(api.GET("/api/hf/spaces/{name}/variables", { ...at(name), signal })),
  });

/** A change of one Space: whatever is shown of it is old then. */
function useChange<T, R>(name: string, change: (value: T) => Promise<R>) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: change,
    onSettled: () => {
      for (const noun of ["spaces", "tasks", "wallet"]) void client.invalidateQueries({ queryKey: [noun] });
      return client.invalidateQueries({ queryKey: ["space", name] });
    },
  });
}

const keyed = (key: string) => ({ "idempotency-key": key });

export const useCreate = () =>
  useChange("", ({ body, key }: { body: Schema<"SpaceRequest">; key: string }) =>
    take(api.POST("/api/hf/spaces", { body, headers: keyed(key) })),
  );

export const useUpdate = (name: string) =>
  useChange(name, ({ body, key }: { body: Schema<"UpdateRequest">; key: string }) =>
    take(api.POST("/api/hf/spaces/{name}/update", { ...at(name), body, headers: keyed(key) })),
  );

export const useRollback = (name: string) =>
  useChange(name, ({ key }: { key: string }) =>
    take(api.POST("/api/hf/spaces/{name}/rollback", { ...at(name), body: {}, headers: keyed(key) })),
  );

export const useFit = (name: string) =>
  useChange(name, ({ key }: { key: string }) =>
    take(api.POST("/api/hf/spaces/{name}/fit", { ...at(name), body: {}, headers: keyed(key) })),
  );

export const usePromote = (name: string) =>
  useChange(name, ({ to, key }: { to: string; key: string }) =>
    take(api.POST("/api/hf/spaces/{name}/promote", { ...at(name), body: { to }, headers: keyed(key) })),
  );

export const useDuplicate = (name: string) =>
  useChange(name, (body: Schema<"DuplicateRequest">) =>
    take(api.POST("/api/hf/spaces/{name}/duplicate", { ...at(name), body })),
  );

export const usePause = (name: string) =>
  useChange(name, () => take(api.POST("/api/hf/spaces/{name}/pause", at(name))));

export const useRestart = (name: string) =>
  useChange(name, (factory: boolean) =>
    take(api.POST("/api/hf/spaces/{name}/restart", { ...at(name), body: { factory } })),
  );

export const useDevMode = (name: string) =>
  useChange(name, (enabled: boolean) =>
    take(api.POST("/api/hf/spaces/{name}/dev-mode", { ...at(name), body: { enabled } })),
  );

export const useHardware = (name: string) =>
  useChange(name, (body: Schema<"HardwareRequest">) =>
    take(api.PUT("/api/hf/spaces/{name}/hardware", { ...at(name), body })),
  );

export const useSleepTime = (name: string) =>
  useChange(name, (seconds: number) =>
    take(api.PUT("/api/hf/spaces/{name}/sleep-time", { ...at(name), body: { seconds } })),
  );

export const useSetSecret = (name: string) =>
  useChange(name, (body: { key: string; value: string }) =>
    take(api.PUT("/api/hf/spaces/{name}/secrets", { ...at(name), body })),
  );

export const useRemoveSecret = (name: string) =>
  useChange(name, (key: string) =>
    take(api.DELETE("/api/hf/spaces/{name}/secrets/{key}", { params: { path: { name, key } } })),
  );

export const useSetVariable = (name: string) =>
  useChange(name, (body: { key: string; value: string }) =>
    take(api.PUT("/api/hf/spaces/{name}/variables", { ...at(name), body })),
  );

export const useRemoveVariable = (name: string) =>
  useChange(name, (key: string) =>
    take(api.DELETE("/api/hf/spaces/{name}/variables/{key}", { params: { path: { name, key } } })),
  );

export function useRemoveSpace(name: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: () =>
      take(
        api.DELETE("/api/hf/spaces/{name}", {
          params: { path: { name }, header: { "X-Confirm": name } },
        }),
      ),
    onSuccess: () => {
      client.removeQueries({ queryKey: ["space", name] });
      return client.invalidateQueries({ queryKey: ["spaces"] });
    },
  });
}

export function useStopTask() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (id: string) => take(api.DELETE("/api/tasks/{id}", { params: { path: { id } } })),
    onSuccess: () => client.invalidateQueries({ queryKey: ["tasks"] }),
  });
}
