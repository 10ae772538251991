import { queryOptions } from "@tanstack/react-query";
import { api, take } from "./client";

/** What `GET /api/hf/status` says of the account; its reference is `bashgym status --format json` in docs/cli.md. */
export type Account =
  | { state: "not_running" | "no_token"; why: string }
  | { state: "refused" | "unreachable"; why: string; next: string; plan: "unknown"; token: { source: string | null } }
  | {
      state: "signed_in";
      name: string;
      plan: string;
      is_pro: boolean;
      orgs: string[];
      org_plans: Record<string, string>;
      namespace: string;
      billing_mode: string | null;
      email_verified: boolean | null;
      token: {
        source: string | null;
        name: string | null;
        role: string | null;
        permissions: string[] | null;
        expires_at: string | null;
      };
      checked_at: string;
      stale: boolean;
      why?: string;
    }
  | { state: "unknown" };

export type Capability = {
  feature: string;
  title: string;
  state: "available" | "limited" | "unavailable";
  why: string | null;
  unlock: string | null;
  limit: string | null;
  source: string;
};

export type Status = { endpoint: string | null; embedded: boolean; account: Account; capabilities: Capability[] };

export const statusQuery = queryOptions({
  queryKey: ["account", "status"],
  queryFn: async ({ signal }): Promise<Status> => {
    const status = await take(api.GET("/api/hf/status", { signal }));
    // The description leaves these two open: `bashgym status --format json` is their reference.
    return {
      ...status,
      account: status.account as Account,
      capabilities: status.capabilities as unknown as Capability[],
    };
  },
  staleTime: 30_000,
});

export const healthQuery = queryOptions({
  queryKey: ["account", "health"],
  queryFn: ({ signal }) => take(api.GET("/api/health", { signal })),
  refetchInterval: 30_000,
});
