import type { Account, Capability } from "../../api/status";
import type { Tone } from "../../ui/parts";

export type AccountState = Account["state"];

export const accountWords: Record<AccountState, { label: string; tone: Tone }> = {
  signed_in: { label: "Signed in", tone: "good" },
  refused: { label: "Token refused", tone: "bad" },
  unreachable: { label: "Hub unreachable", tone: "warn" },
  no_token: { label: "No token", tone: "info" },
  not_running: { label: "Embedded Hub, not started", tone: "info" },
  unknown: { label: "Unknown", tone: "warn" },
};

export const capabilityWords: Record<Capability["state"], { label: string; tone: Tone }> = {
  available: { label: "Available", tone: "good" },
  limited: { label: "Limited", tone: "warn" },
  unavailable: { label: "Not available", tone: "plain" },
};

/** A plan as it is shown. A word that is new is shown as it is. */
export function planLabel(plan: string): string {
  const known: Record<string, string> = {
    free: "Free",
    pro: "PRO",
    team: "Team",
    enterprise: "Enterprise",
    unknown: "Plan unknown",
  };
  return known[plan.toLowerCase()] ?? plan;
}
