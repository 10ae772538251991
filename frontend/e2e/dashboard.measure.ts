import type { CDPSession, Page } from "@playwright/test";
import { expect, test } from "./test";

const say = (line: string) => process.stdout.write(`${line}\n`);

/** Frames a second while something goes on, and the longest of them. */
const frames = (page: Page, seconds: number) =>
  page.evaluate(
    (ms) =>
      new Promise<{ perSecond: number; longestMs: number }>((done) => {
        const times: number[] = [];
        const begin = performance.now();
        const frame = (now: number) => {
          times.push(now);
          if (now - begin < ms) requestAnimationFrame(frame);
          else {
            const gaps = times.slice(1).map((time, at) => time - (times[at] ?? time));
            done({
              perSecond: (times.length - 1) / (((times.at(-1) ?? 0) - (times[0] ?? 0)) / 1000),
              longestMs: Math.max(...gaps),
            });
          }
        };
        requestAnimationFrame(frame);
      }),
    seconds * 1000,
  );

async function heapMb(session: CDPSession) {
  await session.send("HeapProfiler.collectGarbage");
  const { usedSize } = (await session.send("Runtime.getHeapUsage")) as { usedSize: number };
  return usedSize / 1e6;
}

async function startJob(
  server: { ask: <T>(method: string, path: string, body?: unknown) => Promise<T> },
  script: string,
) {
  return server.ask<{ id: string }>("POST", "/api/hf/jobs", { command: ["sh", "-c", script], flavor: "cpu-basic" });
}

test("first load", async ({ page, server }) => {
  await page.goto(await server.link());
  await expect(page.getByRole("heading", { name: "Home", level: 1 })).toBeVisible();
  const rounds: number[] = [];
  for (let round = 0; round < 5; round += 1) {
    const fresh = await page.context().newPage();
    await fresh.goto(server.url, { waitUntil: "commit" });
    await fresh
      .getByRole("button", { name: /Search/ })
      .first()
      .waitFor();
    // What one sees can be used: the button is there once its script has run.
    rounds.push(
      await fresh.evaluate(
        () =>
          performance.getEntriesByType("paint").find((one) => one.name === "first-contentful-paint")?.startTime ?? 0,
      ),
    );
    const bytes = await fresh.evaluate(() =>
      (performance.getEntriesByType("resource") as PerformanceResourceTiming[]).reduce(
        (sum, one) => sum + one.encodedBodySize,
        0,
      ),
    );
    if (round === 0) say(`first load: ${(bytes / 1000).toFixed(0)} kB over the wire`);
    await fresh.close();
  }
  say(`first load: interactive after ${rounds.map((one) => one.toFixed(0)).join(", ")} ms`);
});

test("frames while 1,000 lines a second arrive", async ({ signedIn: page, server }) => {
  const job = await startJob(
    server,
    "i=0; while [ $i -lt 300 ]; do seq $((i*100)) $((i*100+99)); sleep 0.1; i=$((i+1)); done",
  );
  await page.goto(`${server.url}/jobs/${job.id}`);
  await expect(page.getByText(/^\d{1,3},\d{3} lines$/)).toBeVisible({ timeout: 60_000 });
  const before = await page
    .getByText(/lines$/)
    .first()
    .textContent();
  const other = await page.context().newPage();
  const blank = await frames(other, 3);
  await other.close();
  await page.bringToFront();
  const { perSecond, longestMs } = await frames(page, 10);
  const after = await page
    .getByText(/lines$/)
    .first()
    .textContent();
  say(
    `streaming: ${perSecond.toFixed(1)} frames/s, longest ${longestMs.toFixed(0)} ms, ${before} to ${after} in 10 s; an empty page has ${blank.perSecond.toFixed(1)} frames/s`,
  );
});

test("memory over a million lines", async ({ signedIn: page, server }) => {
  const job = await startJob(server, "seq 1 1000000");
  await page.goto(`${server.url}/jobs/${job.id}`);
  await expect(page.getByText("1,000,001 lines")).toBeVisible({ timeout: 240_000 });
  const session = await page.context().newCDPSession(page);
  const first = await heapMb(session);
  const box = page.getByRole("region", { name: "Lines" });
  const began = Date.now();
  for (let at = 0; at <= 100; at += 1) {
    await box.evaluate((element, share) => element.scrollTo({ top: element.scrollHeight * share }), at / 100);
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
  }
  const nodes = await page.locator(".log__line").count();
  say(
    `a million lines: heap ${first.toFixed(1)} MB before, ${(await heapMb(session)).toFixed(1)} MB after 100 jumps in ${Date.now() - began} ms; ${nodes} lines drawn`,
  );
  const find = Date.now();
  await page.getByRole("searchbox", { name: "Search the log" }).fill("99999");
  await expect(page.getByText(/^\d+ matches$/)).toBeVisible({ timeout: 120_000 });
  say(`a million lines: searched in ${Date.now() - find} ms; heap ${(await heapMb(session)).toFixed(1)} MB`);
});
