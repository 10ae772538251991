import AxeBuilder from "@axe-core/playwright";
import { test as base, expect, type Page } from "@playwright/test";
import { fixtures, TestServer } from "./server";

/** A server a worker: tests of one file share it, and come one after the other. */
export const test = base.extend<{ signedIn: Page }, { server: TestServer }>({
  server: [
    // biome-ignore lint/correctness/noEmptyPattern: that is how a fixture without needs is written
    async ({}, use) => {
      const server = new TestServer();
      await server.start();
      await use(server);
      await server.dispose();
    },
    { scope: "worker" },
  ],
  signedIn: async ({ page, server }, use) => {
    const told: string[] = [];
    page.on("pageerror", (error) => told.push(String(error)));
    page.on("console", (message) => {
      // What is refused is shown on the page, and told by the browser too.
      if (message.type() === "error" && !/Failed to load resource|WebSocket connection/.test(message.text()))
        told.push(message.text());
    });
    await page.goto(await server.link());
    await use(page);
    expect(told, "the browser's console has no errors").toEqual([]);
  },
});

export { expect };

/** Nothing on the page keeps anybody out: WCAG 2.2 A and AA, as far as a program can see. */
export async function expectAccessible(page: Page) {
  const found = await new AxeBuilder({ page })
    .withTags(["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"])
    .analyze();
  const told = found.violations.map(
    (one) =>
      `${one.id}: ${one.nodes.map((node) => `${node.target.join(" ")} ${node.failureSummary ?? ""}`).join("; ")}`,
  );
  expect(told).toEqual([]);
}

const widths = [390, 1280, 1920];

/** A picture of the page at each width, in light and dark; nothing is wider than the window. */
export async function shoot(page: Page, name: string) {
  for (const scheme of ["light", "dark"] as const) {
    await page.emulateMedia({ colorScheme: scheme, reducedMotion: "reduce" });
    for (const width of widths) {
      await page.setViewportSize({ width, height: width < 500 ? 844 : 900 });
      await page.screenshot({ path: `screenshots/${name}-${width}-${scheme}.png`, fullPage: true });
      const over = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      expect(over, `${name} at ${width} is not wider than the window`).toBeLessThanOrEqual(0);
    }
  }
  await page.setViewportSize({ width: 1280, height: 900 });
}

/** A short run of the whole loop: sessions, dataset, job, student. */
export function trainStudent(server: TestServer) {
  const short = ["--preset", "tiny", "--max-seconds", "3", "--samples", "1"];
  const { status, stderr } = server.run("run", "--new", ...short, fixtures);
  expect(status, stderr).toBe(0);
}
