import { TestServer } from "./server";
import { expect, expectAccessible, shoot, test } from "./test";

test("a stranger is asked for the key, and told where it is", async ({ page, server }) => {
  await page.goto(`${server.url}/jobs`);
  const key = page.getByLabel("Or paste the server's key");
  await expect(key).toBeVisible();
  await expect(page.getByText("bashgym up", { exact: true })).toBeVisible();
  await expectAccessible(page);
  await shoot(page, "signin");
  await key.fill("not the key");
  await page.getByRole("button", { name: "Sign in" }).click();
  await expect(page.getByRole("alert")).toContainText("key is wrong");
  await key.fill(server.key);
  await page.getByRole("button", { name: "Sign in" }).click();
  await expect(page.getByRole("heading", { name: "Jobs", level: 1 })).toBeVisible();
  await expect(page).toHaveURL(`${server.url}/jobs`);
});

test("the files of the page are kept for good, the page itself is not, and nothing else is let in", async ({
  page,
  server,
}) => {
  const first = await page.request.get(`${server.url}/`);
  expect(first.headers()["cache-control"]).toBe("no-cache");
  expect(first.headers()["content-security-policy"]).not.toContain("unsafe");
  const script = /src="(\/assets\/[^"]+\.js)"/.exec(await first.text())?.[1];
  const asset = await page.request.get(server.url + script, { headers: { "accept-encoding": "br, gzip" } });
  expect(asset.headers()["cache-control"]).toContain("immutable");
  expect(asset.headers()["content-encoding"]).toBe("br");
  expect((await page.request.get(`${server.url}/assets/nothing.js`)).status()).toBe(401);
  expect((await page.request.get(`${server.url}/api/runs`)).status()).toBe(401);
});

test("with nothing at all the home page says what to do first, and one click does it", async ({ page }) => {
  // A home of its own: any other page would have started its Hub.
  const server = new TestServer();
  try {
    await server.start();
    await page.goto(await server.link());
    await expect(page.getByRole("heading", { name: "Start the Hub of this machine" })).toBeVisible();
    await shoot(page, "home-nothing");
    await expectAccessible(page);
    await page.getByRole("button", { name: "Start the embedded Hub" }).click();
    await expect(page.getByRole("heading", { name: "Bring sessions of your coding agents" })).toBeVisible();
    await expect(page.getByText("Live", { exact: true })).toBeVisible();
    for (const [path, heading] of [
      ["/jobs", "No job yet"],
      ["/train", "There is no dataset yet"],
    ] as const) {
      await page.goto(server.url + path);
      await expect(page.getByRole("heading", { name: heading })).toBeVisible();
      await expectAccessible(page);
      await shoot(page, `${path.slice(1)}-empty`);
    }
  } finally {
    await server.dispose();
  }
});

test("with no session the demo is one click away, and is there again after a reload", async ({ page }) => {
  const server = new TestServer();
  try {
    await server.start();
    await page.goto(await server.link());
    // The page's own demo trains for minutes: the same one, made short.
    await page.route("**/api/demo", async (route) => {
      if (route.request().method() !== "POST") return route.continue();
      await route.continue({ postData: JSON.stringify({ preset: "tiny", max_seconds: 3 }) });
    });
    await page.getByRole("button", { name: "Run the demo on sample sessions" }).click();
    await expect(page.getByRole("heading", { name: "The demo" })).toBeVisible();
    await page.reload();
    await expect(page.getByRole("heading", { name: "The demo" })).toBeVisible();
    await expect(page.getByText("A student was trained on the sample sessions, and answers")).toBeVisible({
      timeout: 120_000,
    });
    await expectAccessible(page);
    await shoot(page, "home-demo");
    await page.getByRole("link", { name: "Look at its run" }).click();
    await expect(page.getByText(/^Asked: /).first()).toBeVisible();
  } finally {
    await server.dispose();
  }
});

test("the account page says what works, and what it takes to do more", async ({ signedIn: page, server }) => {
  await page.goto(`${server.url}/account`);
  await expect(page.getByRole("heading", { name: "What an account at Hugging Face would add" })).toBeVisible();
  await expect(page.getByRole("row", { name: /Jobs \(cloud training\)/ })).toContainText("job.write");
  await expectAccessible(page);
  await shoot(page, "account");
});

test("a token that the Hub does not know is not stored, and it is said why", async ({ page, server }) => {
  await server.ask("GET", "/api/hf/hardware");
  const { endpoint } = await server.ask<{ endpoint: string }>("GET", "/api/hf/status");
  // Another server, to which the first one's Hub is a Hub as any other.
  const other = new TestServer(endpoint);
  try {
    await other.start();
    await page.goto(await other.link());
    await page.goto(`${other.url}/account`);
    await expect(page.getByText("No token", { exact: true })).toBeVisible();
    await expectAccessible(page);
    await shoot(page, "account-no-token");
    await page.goto(`${other.url}/settings`);
    await page.getByLabel("Token", { exact: true }).fill("hf_thisisnotatokenthatanybodyknowsatall");
    await page.getByRole("button", { name: "Store the token" }).click();
    await expect(page.getByRole("alert")).toContainText("The token was not stored");
    await expect(page.getByText("Not set", { exact: true })).toBeVisible();
    await expectAccessible(page);
    await shoot(page, "settings");
    // One that it knows is stored, and everything is of that account at once.
    await page.getByLabel("Token", { exact: true }).fill(server.hubToken());
    await page.getByRole("button", { name: "Store the token" }).click();
    await expect(page.getByText("Set", { exact: true })).toBeVisible();
    await page.getByRole("link", { name: "Account" }).click();
    await expect(page.getByText("PRO", { exact: true })).toBeVisible();
    await expect(page.getByRole("meter", { name: "ZeroGPU time left" })).toBeVisible();
    await expectAccessible(page);
    await shoot(page, "account-signed-in");
    expect(await page.content()).not.toContain(server.hubToken());
  } finally {
    await other.dispose();
  }
});

test("everything is reached by the keyboard", async ({ signedIn: page }) => {
  await expect(page.getByRole("heading", { name: "Home", level: 1 })).toBeVisible();
  await page.keyboard.press("Tab");
  await expect(page.getByRole("link", { name: "Skip to the page" })).toBeFocused();
  await page.keyboard.press("Enter");
  await expect(page.locator("#main")).toBeFocused();
  await page.keyboard.press("Control+k");
  await expect(page.getByRole("combobox", { name: "Search commands and pages" })).toBeFocused();
  await expectAccessible(page);
  await page.keyboard.type("setti");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("heading", { name: "Settings", level: 1 })).toBeVisible();
  await expect(page.locator("#main")).toBeFocused();
  await page.keyboard.press("g");
  await page.keyboard.press("j");
  await expect(page.getByRole("heading", { name: "Jobs", level: 1 })).toBeVisible();
  await page.keyboard.press("?");
  await expect(page.getByRole("dialog", { name: "Keyboard shortcuts" })).toBeVisible();
  await page.keyboard.press("Escape");
  await expect(page.getByRole("dialog", { name: "Keyboard shortcuts" })).toBeHidden();
});
