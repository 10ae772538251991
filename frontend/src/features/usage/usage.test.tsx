import { screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { describe, expect, test } from "vitest";
import { never, Refusal, showPage } from "../../testing/page";
import { costOf, microOf, shareOf, toneOf } from "./model";
import Usage from "./pages/Usage";

const cap = {
  service: "jobs",
  window: "month",
  cap_micro_usd: 10_000_000,
  reserved_micro_usd: 1_000_000,
  settled_micro_usd: 8_000_000,
  left_micro_usd: 1_000_000,
  unknown_entries: 0,
  resets_at: "2026-12-01T00:00:00Z",
};
const used = [
  { service: "all", window: "day", reserved_micro_usd: 0, settled_micro_usd: 167, unknown_entries: 1 },
  { service: "all", window: "month", reserved_micro_usd: 1_000_000, settled_micro_usd: 8_000_000, unknown_entries: 0 },
];
const answers = {
  "GET /api/budget": { at: "2026-11-23T00:00:00Z", book: "account", caps: [cap], used },
  "GET /api/usage": [],
  "GET /api/hf/inference/usage": [],
  "GET /api/usage/entries": { items: [], next: null },
};
const show = (more: Record<string, unknown> = {}, at = "/usage") =>
  showPage(Usage, { route: "/usage", at, answers: { ...answers, ...more } });

describe("amounts", () => {
  test("are read in either way to write a decimal, and nothing else is an amount", () => {
    expect(microOf("5")).toBe(5_000_000);
    expect(microOf(" 0,25 ")).toBe(250_000);
    expect(microOf("0.000001")).toBe(1);
    for (const wrong of ["", "-1", "1e3", "5 $", "0.0000001", "1.2.3"]) expect(microOf(wrong)).toBeNull();
  });

  test("a cap counts what is set aside, one of nothing is used up, and one of each run has no sum", () => {
    expect(shareOf(cap)).toBeCloseTo(0.9);
    expect(shareOf({ ...cap, cap_micro_usd: 0, left_micro_usd: 0 })).toBe(1);
    expect(shareOf({ ...cap, left_micro_usd: null })).toBeNull();
    expect([toneOf(0.2), toneOf(0.9), toneOf(1)]).toEqual(["accent", "warn", "bad"]);
  });

  test("what nobody knows is not nothing", () => {
    expect(costOf({ state: "settled", cost_micro_usd: null, worst_micro_usd: 5 }).usd).toBeNull();
    expect(costOf({ state: "released", cost_micro_usd: null, worst_micro_usd: 5 }).usd).toBe(0);
    expect(costOf({ state: "reserved", cost_micro_usd: null, worst_micro_usd: 5_000_000 }).usd).toBe(5);
  });
});

test("while nothing is known there is room for it, and no amount", () => {
  show(Object.fromEntries(Object.keys(answers).map((key) => [key, never])));
  expect(screen.getAllByRole("status", { name: "Loading" }).length).toBeGreaterThan(3);
  expect(screen.queryByText(/\$/)).not.toBeInTheDocument();
});

test("a cap says what is used and left; small sums keep their figures", async () => {
  show();
  const row = await screen.findByRole("row", { name: /\$10\.00 a month/ });
  expect(within(row).getByRole("meter")).toHaveAttribute("aria-valuenow", "90");
  expect(within(row).getByText("$1.00")).toBeVisible();
  expect(screen.getByText("$0.00017")).toBeVisible();
  expect(screen.getByText(/1 entry of unknown price/)).toBeVisible();
  expect(await screen.findByText("Nothing was spent or set aside yet.")).toBeVisible();
});

test("a cap is set by what was written, and a wrong amount is not sent", async () => {
  const user = userEvent.setup();
  const { asked } = show({ "PUT /api/budget/all/month": undefined });
  await user.type(screen.getByLabelText("US dollars"), "abc");
  await user.click(screen.getByRole("button", { name: "Set the cap" }));
  expect(screen.getByRole("alert")).toHaveTextContent("An amount such as");
  expect(asked.some((one) => one.method === "PUT")).toBe(false);
  await user.clear(screen.getByLabelText("US dollars"));
  await user.type(screen.getByLabelText("US dollars"), "12.5");
  await user.click(screen.getByRole("button", { name: "Set the cap" }));
  await waitFor(() => expect(asked.find((one) => one.method === "PUT")?.body).toEqual({ micro_usd: 12_500_000 }));
  await waitFor(() => expect(asked.filter((one) => one.path === "/api/budget").length).toBeGreaterThan(1));
});

test("a cap is removed only when that is confirmed, and a refusal stays to be read", async () => {
  const user = userEvent.setup();
  const { asked } = show({ "DELETE /api/budget/jobs/month": new Refusal(503, "store", "the store is busy", ["wait"]) });
  await user.click(await screen.findByRole("button", { name: /Remove the cap/ }));
  expect(asked.some((one) => one.method === "DELETE")).toBe(false);
  const dialog = screen.getByRole("dialog", { name: "Remove this cap?" });
  await user.click(within(dialog).getByRole("button", { name: "Remove the cap" }));
  expect(await within(dialog).findByRole("alert")).toHaveTextContent("The store is busy.");
});

test("each part fails alone, with the server's own words", async () => {
  show({ "GET /api/usage": new Refusal(500, "store", "the book cannot be read", ["run `bashgym doctor`"]) });
  expect(await screen.findByText("The book cannot be read.")).toBeVisible();
  expect(await screen.findByText(/\$10\.00 a month/)).toBeVisible();
});

test("what nobody pays is in a book of its own", async () => {
  const user = userEvent.setup();
  const { asked } = show();
  expect(await screen.findByRole("option", { name: "What accounts are charged", selected: true })).toBeVisible();
  expect(screen.queryByText(/nobody is billed/)).toBeNull();
  await user.selectOptions(screen.getByLabelText("Book"), "simulated");
  for (const path of ["/api/budget", "/api/usage", "/api/usage/entries"])
    await waitFor(() =>
      expect(
        asked
          .filter((one) => one.path === path)
          .at(-1)
          ?.search.get("book"),
      ).toBe("simulated"),
    );
});

test("sums of this machine's own Hub say so", async () => {
  show({ "GET /api/budget": { at: "2026-11-23T00:00:00Z", book: "simulated", caps: [cap], used } });
  expect(await screen.findByText(/nobody is billed/)).toBeVisible();
});

test("entries are filtered by the address", async () => {
  const entry = {
    key: "a.1",
    service: "jobs",
    run_id: "01a2",
    purpose: "training on cpu-basic",
    state: "settled",
    worst_micro_usd: 20_040,
    cost_micro_usd: null,
    reserved_at: "2026-11-23T02:53:29Z",
  };
  const { asked } = show({ "GET /api/usage/entries": { items: [entry], next: null } }, "/usage?service=jobs");
  expect(await screen.findByText("training on cpu-basic")).toBeVisible();
  expect(screen.getByRole("row", { name: /training on cpu-basic/ })).toHaveTextContent("unknown spent");
  expect(asked.find((one) => one.path === "/api/usage/entries")?.search.get("service")).toBe("jobs");
});
