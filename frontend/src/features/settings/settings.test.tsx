import { screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test } from "vitest";
import { Refusal, showPage } from "../../testing/page";
import Settings from "./pages/Settings";

const setting = (name: string, value: unknown, changeable = false, source = "default") => ({
  name,
  value,
  source,
  changeable,
});
const show = (answers: Record<string, unknown>) =>
  showPage(Settings, {
    route: "/settings",
    at: "/settings",
    answers: {
      "GET /api/settings": [setting("default_org", null, true), setting("endpoint", "https://hub.example")],
      "GET /api/settings/token": { set: false, source: null, changeable: true, why: null },
      "GET /api/settings/roots": { fixed: ["/home/me/.claude/projects"], added: ["/logs"] },
      "GET /api/version": { name: "bashgym", version: "0" },
      "GET /api/hf/status": {
        endpoint: null,
        embedded: false,
        account: { state: "signed_in", name: "me", namespace: "me", orgs: ["lab"], org_plans: {}, plan: "pro" },
        capabilities: [],
      },
      ...answers,
    },
  });

test("the organisation that pays is chosen, and a refusal says which there are", async () => {
  const user = userEvent.setup();
  let tries = 0;
  const { asked } = show({
    "PUT /api/settings/default_org": () => {
      tries += 1;
      return tries === 1
        ? new Refusal(422, "invalid", "me is no member of an organisation team", ["its organisations are: lab"])
        : undefined;
    },
  });
  const field = await screen.findByLabelText("Organisation");
  await waitFor(() => expect(field).toBeEnabled());
  await user.type(field, "team");
  await user.click(screen.getByRole("button", { name: "Keep it so" }));
  expect(await screen.findByText("Its organisations are: lab.")).toBeVisible();
  await user.clear(field);
  await user.type(field, "lab");
  await user.click(screen.getByRole("button", { name: "Keep it so" }));
  const puts = () => asked.filter(({ method }) => method === "PUT").map(({ body }) => body);
  await waitFor(() => expect(puts()).toEqual([{ name: "team" }, { name: "lab" }]));
});

test("what comes from the environment is not changed here", async () => {
  show({ "GET /api/settings": [setting("default_org", "team", false, "environment variable HF_ORG")] });
  expect(await screen.findByText(/It comes from the environment variable HF_ORG/)).toBeVisible();
  expect(screen.getByLabelText("Organisation")).toBeDisabled();
});

test("folders are added to those that are there, and taken back", async () => {
  const user = userEvent.setup();
  const { asked } = show({ "PUT /api/settings/roots": { fixed: [], added: [] } });
  await user.type(await screen.findByLabelText("Another folder"), "/more");
  await user.click(screen.getByRole("button", { name: "Add the folder" }));
  const puts = () => asked.filter(({ method }) => method === "PUT").map(({ body }) => body);
  await waitFor(() => expect(puts()).toEqual([{ folders: ["/logs", "/more"] }]));
  await user.click(screen.getByRole("button", { name: "Take back /logs" }));
  await waitFor(() => expect(puts().at(-1)).toEqual({ folders: [] }));
});
