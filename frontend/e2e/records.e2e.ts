import { cpSync } from "node:fs";
import { join } from "node:path";
import { fixtures } from "./server";
import { expect, expectAccessible, shoot, test, trainStudent } from "./test";

test.describe.configure({ mode: "serial" });

test.beforeAll(async ({ server }) => {
  // Sessions where the agents leave them, and one short run of the whole loop over them.
  cpSync(join(fixtures, "claude"), join(server.home, ".claude/projects"), { recursive: true });
  trainStudent(server);
});

test("a dataset is built of the sessions of this machine, read, and sent to the Hub", async ({
  signedIn: page,
  server,
}) => {
  await page.goto(`${server.url}/sessions`);
  await expect(page.getByText(/^Claude Code: \d+/)).toBeVisible();
  await page.getByLabel("Name", { exact: true }).fill("from-the-page");
  await page.getByRole("button", { name: "Build", exact: true }).click();
  const built = page.getByRole("link", { name: /Look at from-the-page/ });
  await expect(built).toBeVisible();
  await expect(page.getByRole("heading", { name: "Left out" })).toBeVisible();
  await expectAccessible(page);
  await shoot(page, "sessions");
  await built.click();
  await expect(page.getByText("Nothing is left in it that looks like a secret")).toBeVisible();
  await page.getByRole("button", { name: "Send to the Hub" }).click();
  const sent = page.getByRole("link", { name: "local/from-the-page" });
  await expect(sent).toBeVisible();
  await expectAccessible(page);
  await shoot(page, "dataset-built");
  await sent.click();
  await expect(page.getByText(/^Rows 1 to 10 of \d+/)).toBeVisible();
  await expect(page.locator(".talk").first()).toBeVisible();
  await expectAccessible(page);
  await shoot(page, "dataset-rows");
  await page.getByRole("button", { name: "Later" }).click();
  await expect(page).toHaveURL(/after=10/);
  await expect(page.getByText(/^Rows 11 to /)).toBeVisible();
});

test("a dataset is deleted by its name", async ({ signedIn: page, server }) => {
  await page.goto(`${server.url}/datasets`);
  await expect(page.getByRole("link", { name: "from-the-page", exact: true })).toBeVisible();
  await expectAccessible(page);
  await shoot(page, "datasets");
  await page.getByRole("link", { name: "local/from-the-page" }).click();
  await page.getByRole("button", { name: "Delete" }).click();
  const dialog = page.getByRole("dialog", { name: "Delete this dataset?" });
  await dialog.getByRole("textbox").fill("local/from-the-page");
  await expectAccessible(page);
  await dialog.getByRole("button", { name: "Delete for good" }).click();
  await expect(page.getByRole("heading", { name: "Datasets", level: 1 })).toBeVisible();
  await expect(page.getByRole("link", { name: "local/from-the-page" })).toBeHidden();
});

test("a run shows its stages and what came of what", async ({ signedIn: page, server }) => {
  await page.goto(`${server.url}/runs`);
  await expect(page.getByRole("row", { name: /Succeeded/ })).toBeVisible();
  await expectAccessible(page);
  await shoot(page, "runs");
  await page.getByRole("link", { name: "local/bashgym-student" }).click();
  await expect(page.locator('.timeline li[data-state="done"]')).toHaveCount(6);
  await expect(page.getByText(/before, .* after/)).toBeVisible();
  await expectAccessible(page);
  await shoot(page, "run");
});

test("a cap is set and removed, and what was spent is there", async ({ signedIn: page, server }) => {
  await page.goto(`${server.url}/usage`);
  await expect(page.getByRole("row", { name: /training on cpu-basic/ })).toBeVisible();
  await page.getByLabel("US dollars").fill("2.50");
  await page.getByRole("button", { name: "Set the cap" }).click();
  await expect(page.getByRole("meter", { name: /Used of Everything, a month/ })).toBeVisible();
  await expectAccessible(page);
  await shoot(page, "usage");
  await page.getByRole("button", { name: /Remove the cap/ }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Remove the cap" }).click();
  await expect(page.getByText("No cap is set")).toBeVisible();
});

test("what happens comes to the activity page by itself", async ({ signedIn: page, server }) => {
  await page.goto(`${server.url}/activity`);
  await expect(page.getByText("A run ended")).toBeVisible();
  const job = await server.ask<{ id: string }>("POST", "/api/hf/jobs", { command: ["true"], flavor: "cpu-basic" });
  await expect(page.getByRole("link", { name: `job ${job.id}` }).first()).toBeVisible();
  await expectAccessible(page);
  await shoot(page, "activity");
});

test("a session is read step by step, with its subagents, its quality and the rows made of it", async ({
  signedIn: page,
  server,
}) => {
  await page.goto(`${server.url}/sessions`);
  await page.getByLabel("Name", { exact: true }).fill("of-sessions");
  await page.getByRole("button", { name: "Build", exact: true }).click();
  await expect(page.getByRole("link", { name: /Look at of-sessions/ })).toBeVisible();
  // The task is in the address: a page that is loaded again still says what came of it.
  await page.reload();
  await expect(page.getByRole("link", { name: /Look at of-sessions/ })).toBeVisible();
  await page.getByRole("link", { name: "2c38f23f-2352-4bfd-a4e1-4750dc063183.jsonl" }).click();
  await expect(page.locator(".talk > li").first()).toContainText("You");
  await expect(page.getByRole("heading", { name: "Quality" })).toBeVisible();
  await page.getByText("Why", { exact: true }).first().click();
  await expect(page.getByText("How the task ended").first()).toBeVisible();
  await expectAccessible(page);
  await shoot(page, "session");
  await page.getByRole("link", { name: /^Subagent / }).click();
  await expect(page).toHaveURL(/conversation=1/);
  await expect(page.locator(".talk > li").first()).toContainText("Task of the subagent");
  await page.getByRole("link", { name: "The session itself" }).click();
  await page.getByRole("link", { name: "of-sessions" }).click();
  await expect(page.getByText("Only rows of session")).toBeVisible();
  await expect(page.locator(".talk").first()).toBeVisible();
  await page.getByRole("button", { name: "All rows" }).click();
  await expect(page.getByText(/^Rows 1 to 10 of \d+/)).toBeVisible();
  await page.getByRole("tab", { name: "Card" }).click();
  await expect(page.locator(".prose h3").first()).toBeVisible();
  await expectAccessible(page);
  await shoot(page, "dataset-card");
});

test("what was deleted, spent and sent is in the audit", async ({ signedIn: page, server }) => {
  await page.goto(`${server.url}/activity?view=audit`);
  await expect(page.getByRole("row", { name: /Dataset deleted local\/from-the-page/ })).toBeVisible();
  await expectAccessible(page);
  await shoot(page, "audit");
  await page.getByRole("tab", { name: "Sent to the Hub" }).click();
  await expect(page.getByRole("row", { name: /Dataset uploaded local\/from-the-page/ })).toBeVisible();
  await expect(page.getByRole("row", { name: /Dataset deleted/ })).toBeHidden();
});
