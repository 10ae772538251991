import { spawnSync } from "node:child_process";
import type { Page } from "@playwright/test";
import type { TestServer } from "./server";
import { expect, expectAccessible, shoot, test, trainStudent } from "./test";

test.describe.configure({ mode: "serial" });

const student = "local/bashgym-student";

test.beforeAll(async ({ server }) => {
  trainStudent(server);
});

test("from the trained student to a Space that answers", async ({ signedIn: page, server }) => {
  await page.goto(`${server.url}/spaces`);
  await expect(page.getByRole("heading", { name: "No Space yet" })).toBeVisible();
  await expectAccessible(page);
  await page.getByRole("link", { name: "Serve a student" }).first().click();
  await expect(page.getByLabel("Model repository")).toHaveValue(student);
  await expect(page.getByText("nothing: it runs on this machine")).toBeVisible();
  await page.getByLabel("Name of the Space").fill("try-it");
  await expectAccessible(page);
  await shoot(page, "space-new");
  await page.getByRole("button", { name: "Make the Space" }).click();
  await expect(page).toHaveURL(/task=/);
  // Closing the page changes nothing: the address shows how far it is.
  await page.reload();
  await expect(page.getByText("It runs, and answered its first question")).toBeVisible({ timeout: 60_000 });
  await expectAccessible(page);
  await shoot(page, "space-deployed");
  await page.getByRole("link", { name: "local/try-it" }).click();
  await expect(page.getByRole("heading", { name: "local/try-it", level: 1 })).toBeVisible();
  await expect(page.locator(".timeline li[data-state='done']")).toHaveCount(4);
});

test("the app of a Space is asked, and its logs are followed", async ({ signedIn: page, server }) => {
  await page.goto(`${server.url}/spaces/local/try-it`);
  const log = page.getByRole("region", { name: "Run log" });
  await expect(log).toContainText("is loaded and answers");
  const lines = log.getByRole("listitem");
  const before = await lines.count();
  await page.getByLabel("Prompt").fill("List the files");
  await page.getByRole("button", { name: "Ask", exact: true }).click();
  await expect(page.locator(".answer")).not.toBeEmpty();
  await expect(page.getByText(/^in \d+(\.\d+)? m?s$/)).toBeVisible();
  // What was asked is in the log without a reload.
  await expect.poll(() => lines.count()).toBeGreaterThan(before);
  await expectAccessible(page);
  await shoot(page, "space");
  await page.getByRole("tab", { name: "Build" }).click();
  await expect(page.getByRole("region", { name: "Build log" }).getByRole("listitem").first()).toBeVisible();
  await expect(page).toHaveURL(/log=build/);
});

test("a Space is set up, paused and started again", async ({ signedIn: page, server }) => {
  await page.goto(`${server.url}/spaces/local/try-it`);
  const secrets = page.getByRole("region", { name: "Secrets" });
  await secrets.getByLabel("Name of a secret").fill("STYLE_KEY");
  await secrets.getByLabel("Its value").fill("hunter2hunter2hunter2");
  await secrets.getByRole("button", { name: "Set the secret" }).click();
  await expect(secrets.getByText("STYLE_KEY", { exact: true })).toBeVisible();
  expect(await page.content()).not.toContain("hunter2");
  const variables = page.getByRole("region", { name: "Variables" });
  await variables.getByLabel("Name of a variable").fill("TITLE");
  await variables.getByLabel("Its value").fill("Demo");
  await variables.getByRole("button", { name: "Set the variable" }).click();
  await expect(variables.getByText("Demo")).toBeVisible();
  await page.getByRole("button", { name: "Pause", exact: true }).click();
  await page.getByRole("dialog", { name: "Pause this Space?" }).getByRole("button", { name: "Pause it" }).click();
  await expect(page.locator(".page__lead")).toContainText("Paused");
  await expect(page.getByLabel("Prompt")).toBeDisabled();
  await expectAccessible(page);
  await page.getByRole("button", { name: "Restart", exact: true }).click();
  await expect(page.locator(".page__lead")).toContainText("Running");
});

test("a Space is duplicated, promoted to, rolled back, and deleted by its name", async ({ signedIn: page, server }) => {
  await page.goto(`${server.url}/spaces/local/try-it`);
  await page.getByRole("button", { name: "Duplicate" }).click();
  const copy = page.getByRole("dialog", { name: "Duplicate this Space?" });
  await copy.getByLabel("Name of the copy").fill("production");
  await copy.getByRole("button", { name: "Duplicate" }).click();
  await expect(page.getByRole("heading", { name: "local/production", level: 1 })).toBeVisible();
  // Its secret could not be copied, and that is said.
  await expect(page.getByText(/lacks the secrets STYLE_KEY/)).toBeVisible();
  await expect(page.locator(".page__lead")).toContainText("Running");
  await page.goto(`${server.url}/spaces/local/try-it`);
  await page.getByRole("button", { name: "Promote" }).click();
  const promote = page.getByRole("dialog", { name: "Promote what this Space serves?" });
  await promote.getByLabel("The other Space").fill("production");
  await promote.getByRole("button", { name: "Promote" }).click();
  await expect(page.getByText(/^It runs/)).toBeVisible({ timeout: 60_000 });
  await page.goto(`${server.url}/spaces`);
  await expect(page.getByRole("link", { name: "local/production" })).toBeVisible();
  await expect(page.getByText(student)).toHaveCount(2);
  await expectAccessible(page);
  await shoot(page, "spaces");
  await page.getByRole("link", { name: "local/production" }).click();
  await page.getByRole("button", { name: "Delete", exact: true }).click();
  const dialog = page.getByRole("dialog", { name: "Delete this Space?" });
  await expect(dialog.getByRole("button", { name: "Delete for good" })).toBeDisabled();
  await dialog.getByRole("textbox").fill("local/production");
  await dialog.getByRole("button", { name: "Delete for good" }).click();
  await expect(page.getByRole("heading", { name: "Spaces", level: 1 })).toBeVisible();
  await expect(page.getByRole("link", { name: "local/production" })).toBeHidden();
});

test("a model that is not there leaves nothing behind, and why is told", async ({ signedIn: page, server }) => {
  await page.goto(`${server.url}/spaces/new?model=local/nothing`);
  await page.getByRole("button", { name: "Make the Space" }).click();
  await expect(page.getByText("The deployment failed")).toBeVisible({ timeout: 60_000 });
  await expectAccessible(page);
  await shoot(page, "space-failed");
  const { items } = await server.ask<{ items: { space_id: string }[] }>("GET", "/api/hf/spaces");
  expect(items.map((space) => space.space_id)).toEqual(["local/try-it"]);
});

/** A server that is started anew knows no browser. */
async function signInAgain(page: Page, server: TestServer, path: string) {
  await page.goto(await server.link());
  await page.goto(server.url + path);
}

test("a call through the gateway is a decision on the router's page, and a verdict counts", async ({
  page,
  server,
}) => {
  await server.stop();
  await server.start(["--student", student, "--strategy", "student_only"]);
  await signInAgain(page, server, "/router");
  await expect(page.getByText("Student only")).toBeVisible();
  await expect(page.getByText("No call in this time.")).toBeVisible();
  await page.getByRole("tab", { name: "Point a tool here" }).click();
  const command = await page.getByRole("button", { name: /^Copy the command: curl/ }).getAttribute("aria-label");
  expect(command).toContain(`${server.url}/v1/chat/completions`);
  expect(await page.content()).not.toContain(server.key);
  await expectAccessible(page);
  await shoot(page, "router-setup");
  // What is shown to copy works as it stands.
  const curl = (command ?? "").replace("Copy the command: ", "");
  const ran = spawnSync("sh", ["-c", curl], { encoding: "utf8" });
  expect(ran.stdout, ran.stderr).toContain('"chat.completion"');
  await page.getByRole("tab", { name: "Decisions" }).click();
  const row = page.getByRole("row", { name: /Student only/ });
  await expect(row).toContainText(student);
  await expectAccessible(page);
  await shoot(page, "router-decisions");
  await row.getByRole("button").click();
  const dialog = page.getByRole("dialog", { name: "One decision" });
  await expect(dialog.getByRole("heading", { name: "Who could have answered" })).toBeVisible();
  await dialog.getByRole("button", { name: "Right" }).click();
  await expect(dialog.getByRole("button", { name: "Right", pressed: true })).toBeVisible();
  await expectAccessible(page);
  await page.reload();
  await expect(dialog).toBeVisible();
  await dialog.getByRole("button", { name: "Close" }).click();
  await expect(row).toContainText("Right");
  await page.getByRole("tab", { name: "Replay" }).click();
  await expect(page.getByRole("row", { name: /What was done/ })).toBeVisible();
  await expectAccessible(page);
  await shoot(page, "router-replay");
  await page.getByRole("tab", { name: "Now" }).click();
  await expect(page.getByRole("row", { name: /1 right, 0 wrong/ }).first()).toBeVisible();
  await expect(page.getByText("of 1 judged")).toBeVisible();
  await expectAccessible(page);
  await shoot(page, "router");
});
