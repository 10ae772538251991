import { expect, expectAccessible, shoot, test, trainStudent } from "./test";

test.describe.configure({ mode: "serial" });

test.beforeAll(async ({ server }) => {
  trainStudent(server);
});

test("the home page goes on from where the run ended", async ({ signedIn: page }) => {
  await expect(page.getByRole("heading", { name: "Serve your student" })).toBeVisible();
  await expectAccessible(page);
  await shoot(page, "home");
});

test("a training is planned, priced, confirmed and followed to its end", async ({ signedIn: page, server }) => {
  await page.goto(`${server.url}/train`);
  await expect(page.getByLabel("Dataset on the Hub")).toHaveValue("local/bashgym-sessions");
  await page.getByLabel("Size").selectOption("tiny");
  await expect(page).toHaveURL(/preset=tiny/);
  const start = page.getByRole("button", { name: "Start the training" });
  await expect(start).toBeEnabled();
  await expect(page.getByText("Billed to")).toBeVisible();
  await expectAccessible(page);
  await shoot(page, "train");
  // What is chosen stays, as it is in the address.
  await page.goto(`${page.url()}&steps=40`);
  await expect(page.getByLabel("Size")).toHaveValue("tiny");
  await start.click();
  const dialog = page.getByRole("dialog", { name: "Start this training?" });
  await expect(dialog).toContainText("Nothing is charged");
  await expectAccessible(page);
  await dialog.getByRole("button", { name: "Start the training" }).click();
  await expect(page).toHaveURL(/\/jobs\/[0-9a-f]+/);
  await expect(page.getByRole("heading", { name: "Training local/bashgym-student" })).toBeVisible();
  // Nothing is reloaded from here on: it comes by itself.
  await expect(page.locator(".page__lead")).toContainText("Completed", { timeout: 60_000 });
  await expect(page.getByText("40 of 40")).toBeVisible();
  await expect(page.getByRole("img", { name: /^Loss\. Training loss/ })).toBeVisible();
  await expect(page.getByText("billed to local")).toBeVisible();
  await expectAccessible(page);
  await shoot(page, "job");
});

test("a log is searched, and a line has an address", async ({ signedIn: page, server }) => {
  const { items } = await server.ask<{ items: { id: string }[] }>("GET", "/api/hf/jobs");
  await page.goto(`${server.url}/jobs/${items[0]?.id}`);
  await page.getByRole("searchbox", { name: "Search the log" }).fill("Pulling local");
  await expect(page.getByText("1 match", { exact: true })).toBeVisible();
  await page.getByRole("button", { name: "Next match" }).click();
  await expect(page.locator("mark")).toHaveText("Pulling local");
  await page.getByRole("button", { name: "Link to line 2", exact: true }).click();
  await expect(page).toHaveURL(/line=2/);
  await page.reload();
  await expect(page.locator(".log__line[data-marked]")).toContainText("Pulling local");
});

test("a log is followed until a person scrolls back", async ({ signedIn: page, server }) => {
  const job = await server.ask<{ id: string }>("POST", "/api/hf/jobs", {
    command: ["sh", "-c", "seq 1 3000; while true; do sleep 1; done"],
    flavor: "cpu-basic",
  });
  await page.goto(`${server.url}/jobs/${job.id}`);
  const lines = page.getByRole("region", { name: "Lines" });
  const last = lines.locator(".log__text").getByText("3000", { exact: true });
  await expect(last).toBeInViewport();
  // The window's size is no reason to stop.
  await page.setViewportSize({ width: 1000, height: 700 });
  await expect(page.getByRole("button", { name: "Following" })).toBeVisible();
  await lines.hover();
  await expect(last).toBeInViewport();
  await page.mouse.wheel(0, -4_000);
  await expect(page.getByRole("button", { name: "Follow", exact: true })).toHaveAttribute("aria-pressed", "false");
  await expect(last).toBeHidden();
  await page.getByRole("button", { name: "Follow", exact: true }).click();
  await expect(last).toBeInViewport();
  await server.ask("DELETE", `/api/hf/jobs/${job.id}`);
});

test("a job that fails says why, and where to go on", async ({ signedIn: page, server }) => {
  const job = await server.ask<{ id: string }>("POST", "/api/hf/jobs", {
    command: ["sh", "-c", "echo about to fail; exit 3"],
    flavor: "cpu-basic",
  });
  await page.goto(`${server.url}/jobs/${job.id}`);
  await expect(page.getByRole("alert")).toContainText("This job failed");
  await expect(page.getByText("about to fail", { exact: true })).toBeVisible();
  await shoot(page, "job-failed");
  await page.goto(`${server.url}/jobs?stage=ERROR`);
  await expect(page.getByRole("link", { name: job.id })).toBeVisible();
  await expectAccessible(page);
  await shoot(page, "jobs");
});

test("a job is canceled only when that is confirmed", async ({ signedIn: page, server }) => {
  const job = await server.ask<{ id: string }>("POST", "/api/hf/jobs", {
    command: ["sh", "-c", "while true; do echo tick; sleep 1; done"],
    flavor: "cpu-basic",
  });
  await page.goto(`${server.url}/jobs/${job.id}`);
  await expect(page.getByText("tick").first()).toBeVisible();
  await page.getByRole("button", { name: "Cancel job" }).click();
  const dialog = page.getByRole("dialog", { name: "Cancel this job?" });
  await dialog.getByRole("button", { name: "Keep as it is" }).click();
  await expect(dialog).toBeHidden();
  await page.getByRole("button", { name: "Cancel job" }).click();
  await dialog.getByRole("button", { name: "Cancel the job" }).click();
  await expect(page.locator(".page__lead")).toContainText("Canceled");
});

test("a quota that is used up is told with what to do next, and nothing is lost", async ({
  signedIn: page,
  server,
}) => {
  const { endpoint } = await server.ask<{ endpoint: string }>("GET", "/api/hf/status");
  await page.goto(`${server.url}/train?preset=tiny&steps=5`);
  const start = page.getByRole("button", { name: "Start the training" });
  await expect(start).toBeEnabled();
  const faults = (method: string, body?: unknown) =>
    fetch(`${endpoint}/_local/faults`, {
      method,
      headers: { authorization: `Bearer ${server.hubToken()}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  const made = await faults("POST", {
    path_contains: "/api/jobs/local",
    method: "POST",
    kind: "status",
    code: 402,
    times: 20,
  });
  expect(made.ok, await made.text()).toBe(true);
  await start.click();
  const dialog = page.getByRole("dialog", { name: "Start this training?" });
  await dialog.getByRole("button", { name: "Start the training" }).click();
  await expect(page.getByText("It did not start")).toBeVisible({ timeout: 60_000 });
  await expect(page.getByText(/no job was made: .* answered 402/)).toBeVisible();
  // What was planned is still there to be begun once there is credit.
  await expect(page.getByRole("link", { name: "Back to the plan" })).toHaveAttribute("href", /preset=tiny&steps=5/);
  await shoot(page, "quota");
  await expectAccessible(page);
  await faults("DELETE");
});

test("a server that is killed under the open page is found again", async ({ signedIn: page, server }) => {
  await page.goto(`${server.url}/jobs`);
  await expect(page.getByText("Live", { exact: true })).toBeVisible();
  await server.stop("SIGKILL");
  await expect(page.getByRole("alert").or(page.getByText("Reconnecting")).first()).toBeVisible();
  await server.start();
  // The new server knows no browser: it asks for the key again, and the page stays where it was.
  await page.getByLabel("Or paste the server's key").fill(server.key);
  await page.getByRole("button", { name: "Sign in" }).click();
  await expect(page.getByRole("heading", { name: "Jobs", level: 1 })).toBeVisible();
  await expect(page.getByText("Live", { exact: true })).toBeVisible();
});
