import { queryOptions } from "@tanstack/react-query";
import { api, take } from "./client";

/** A part of the wallet: what is known of it, or why nothing is and how that changes. */
export type Part<T> = ({ state: "known" } & T) | { state: string; why: string; unlock?: string | null };

/** `GET /api/wallet`; its reference is `bashgym wallet --format json` in docs/cli.md. */
export type Wallet = {
  owner: string | null;
  plan_credit: { plan: string; usd: number | null; per_seat: boolean; pays_for: string } | null;
  spend: Part<{
    period_start: string | null;
    period_end: string | null;
    services: { service: string; usd: number; items: number }[];
    total_usd: number;
  }>;
  jobs: Part<{ usd: number; minutes: number; jobs: number; has_access: boolean }>;
  inference: Part<{ used_usd: number; included_usd: number | null; limit_usd: number | null; requests: number | null }>;
  zero_gpu: Part<{ base_seconds: number; left_seconds: number; resets_at: string | null; over_quota_seconds: number }>;
  storage: Part<{ private_bytes: number; public_bytes: number; repositories: number }>;
  balance: { state: string; why: string; url: string };
};

export const isKnown = <T>(part: Part<T>): part is { state: "known" } & T => part.state === "known";

export const walletQuery = queryOptions({
  queryKey: ["wallet"],
  queryFn: async ({ signal }) => (await take(api.GET("/api/wallet", { signal }))) as unknown as Wallet,
  staleTime: 60_000,
});
