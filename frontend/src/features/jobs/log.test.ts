import { afterEach, beforeEach, expect, test, vi } from "vitest";
import {
  type FetchLines,
  type FindLines,
  findIn,
  type Line,
  LogPages,
  MOST_HITS,
  PAGE_LINES,
  scan,
  search,
} from "./log";

/** A server with a log of `total` lines. */
function server(total: number, text = (n: number) => `line ${n}`) {
  const asked: { after: number; limit: number }[] = [];
  const state = { total };
  const fetchLines: FetchLines = async (query) => {
    const after = "tail" in query ? Math.max(0, state.total - query.tail) : query.after;
    const limit = "tail" in query ? query.tail : query.limit;
    asked.push({ after, limit });
    const lines: Line[] = [];
    for (let n = after + 1; n <= Math.min(state.total, after + limit); n += 1)
      lines.push({ number: n, timestamp: null, text: text(n) });
    return { lines, source: "kept" };
  };
  return { fetchLines, asked, state };
}
const job = (from: number, to: number) => ({
  seq: 1,
  time: "",
  type: "hf:job:log",
  topic: "job:a",
  data: {
    job_id: "a",
    from,
    to,
    lines: Array.from({ length: to - from + 1 }, (_, at) => ({
      n: from + at,
      timestamp: null,
      text: `live ${from + at}`,
    })),
  },
});
const settle = () => vi.advanceTimersByTimeAsync(100);

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test("only what is looked at is fetched, once", async () => {
  const { fetchLines, asked } = server(1_000_000);
  const log = new LogPages(fetchLines);
  await log.open();
  expect(log.total).toBe(1_000_000);
  log.ensure(499_990, 500_030);
  log.ensure(499_990, 500_030);
  await settle();
  log.ensure(499_990, 500_030);
  await settle();
  expect(asked.slice(1)).toEqual([
    { after: 499_500, limit: PAGE_LINES },
    { after: 500_000, limit: PAGE_LINES },
  ]);
  expect(log.line(500_001)?.text).toBe("line 500001");
  expect(log.line(1)).toBeUndefined();
});

test("over a million lines the memory stays flat", async () => {
  const { fetchLines } = server(1_000_000);
  const log = new LogPages(fetchLines);
  await log.open();
  for (let first = 1; first < 1_000_000; first += 10_000) {
    log.ensure(first, first + 10_000);
    await settle();
  }
  let kept = 0;
  for (let n = 1; n <= 1_000_000; n += PAGE_LINES) if (log.line(n)) kept += PAGE_LINES;
  expect(kept).toBeLessThanOrEqual(40 * PAGE_LINES);
  expect(kept).toBeGreaterThan(0);
});

test("lines that come live are shown without asking, and none is doubled", async () => {
  const { fetchLines, asked, state } = server(3);
  const log = new LogPages(fetchLines);
  await log.open();
  log.ensure(1, 3);
  await settle();
  const before = asked.length;
  state.total = 6;
  log.hear(job(4, 6));
  log.hear(job(4, 6));
  log.ensure(1, 6);
  await settle();
  expect(asked.length).toBe(before);
  expect([1, 2, 3, 4, 5, 6].map((n) => log.line(n)?.text)).toEqual([
    "line 1",
    "line 2",
    "line 3",
    "live 4",
    "live 5",
    "live 6",
  ]);
  expect(log.line(7)).toBeUndefined();
});

test("a gap in what comes live is asked for", async () => {
  const { fetchLines, state } = server(3);
  const log = new LogPages(fetchLines);
  await log.open();
  log.ensure(1, 3);
  await settle();
  state.total = 9;
  log.hear(job(7, 9));
  log.ensure(1, 9);
  await settle();
  expect(log.total).toBe(9);
  expect(log.line(5)?.text).toBe("line 5");
  expect(log.line(9)?.text).toBe("line 9");
});

test("a log that could not be read says so, and is read again", async () => {
  const good = server(5);
  let broken = true;
  const log = new LogPages((query) => (broken ? Promise.reject(new Error("gone")) : good.fetchLines(query)));
  await log.open();
  expect(log.error).toBeInstanceOf(Error);
  broken = false;
  await log.open();
  expect(log.error).toBeUndefined();
  expect(log.total).toBe(5);
});

test("a search goes through all lines, tells how far it is, and stops when told", async () => {
  const { fetchLines, asked } = server(12_000, (n) => (n % 4_000 === 0 ? "An ERROR here" : "fine"));
  const told: number[] = [];
  let hits: readonly number[] = [];
  await search(findIn(fetchLines), "error", new AbortController().signal, (found, seen) => {
    hits = found;
    told.push(seen);
  });
  expect(hits).toEqual([4_000, 8_000, 12_000]);
  expect(told).toEqual([5_000, 10_000, 12_000]);
  const stop = new AbortController();
  const before = asked.length;
  await search(findIn(fetchLines), "error", stop.signal, () => stop.abort());
  expect(asked.length).toBe(before + 1);
});

test("a search that finds everything keeps a bounded list", async () => {
  const { fetchLines } = server(30_000);
  let most = 0;
  await search(findIn(fetchLines), "line", new AbortController().signal, (found) => {
    most = Math.max(most, found.length);
  });
  expect(most).toBe(MOST_HITS);
});

test("a search takes parts until there are no more, and one that does not get on ends", async () => {
  const parts = [
    { lines: [7], seen: 100_000, more: true },
    { lines: [], seen: 200_000, more: true },
    { lines: [200_001], seen: 200_001, more: false },
  ];
  const asked: number[] = [];
  const find: FindLines = (_, after) => {
    asked.push(after);
    return Promise.resolve(parts[asked.length - 1] ?? { lines: [], seen: after, more: true });
  };
  let hits: readonly number[] = [];
  await search(find, "x", new AbortController().signal, (found) => {
    hits = found;
  });
  expect(asked).toEqual([0, 100_000, 200_000]);
  expect(hits).toEqual([7, 200_001]);
  await search(find, "x", new AbortController().signal, () => {});
  expect(asked).toEqual([0, 100_000, 200_000, 0]);
});

test("a scan goes on from where it was", async () => {
  const { fetchLines } = server(7_001);
  const seen: number[] = [];
  for await (const lines of scan(fetchLines, 1, new AbortController().signal)) seen.push(lines.length);
  expect(seen).toEqual([5_000, 2_000]);
});
