import { api, type Schema, take } from "../../api/client";
import type { LiveEvent } from "../../api/live";

export type Line = Schema<"Line">;
export type FetchLines = (
  query: { after: number; limit: number } | { tail: number },
) => Promise<{ lines: Line[]; source: string }>;

/** How many lines a page of the cache has. */
export const PAGE_LINES = 500;
/** How many pages are kept: what was read long ago is asked for again. */
const MOST_PAGES = 40;
/** The time between two tellings of what came. */
const TELL_MS = 60;
/** How many lines are read at once when a whole log is gone through. */
const SCAN_LINES = 5_000;

export const fetchJobLines =
  (id: string): FetchLines =>
  (query) =>
    take(api.GET("/api/hf/jobs/{id}/logs", { params: { path: { id }, query } }));

/**
 * A job's log of any length in bounded memory: the lines around what is looked at, in pages, and how many there are. The
 * server has them all.
 */
export class LogPages {
  total = 0;
  source: string | null = null;
  error: unknown = undefined;
  loaded = false;
  version = 0;
  private readonly pages = new Map<number, Line[]>();
  private readonly asked = new Set<number>();
  private readonly watchers = new Set<() => void>();
  private told = false;

  constructor(private readonly fetchLines: FetchLines) {}

  watch = (watcher: () => void) => {
    this.watchers.add(watcher);
    return () => this.watchers.delete(watcher);
  };

  getVersion = () => this.version;

  /** Finds how many lines there are, and the last of them. */
  async open() {
    try {
      const { lines, source } = await this.fetchLines({ tail: 1 });
      this.source = source;
      this.error = undefined;
      this.grow(lines.at(-1)?.number ?? 0);
    } catch (error) {
      this.error = error;
    }
    this.loaded = true;
    this.changed();
  }

  line(number: number): Line | undefined {
    return this.pages.get(pageOf(number))?.[(number - 1) % PAGE_LINES];
  }

  /** Has the lines from `first` to `last` fetched, unless they are there or asked for. */
  ensure(first: number, last: number) {
    for (let page = pageOf(Math.max(1, first)); page <= pageOf(Math.min(last, this.total)); page += 1) {
      const kept = this.pages.get(page);
      const wanted = Math.min(PAGE_LINES, this.total - page * PAGE_LINES);
      if (kept) {
        // Looked at now: the last to go.
        this.pages.delete(page);
        this.pages.set(page, kept);
      }
      if ((kept && kept.length >= wanted) || this.asked.has(page)) continue;
      this.asked.add(page);
      void this.fetchPage(page);
    }
  }

  /** Takes what an event brings; its lines are kept where they follow what is there. */
  hear(event: LiveEvent) {
    if (event.type !== "hf:job:log") return;
    const { to, lines } = event.data as {
      to?: number;
      lines?: { n: number; timestamp: string | null; text: string }[];
    };
    for (const { n, timestamp, text } of lines ?? []) {
      const page = pageOf(n);
      const at = (n - 1) % PAGE_LINES;
      const kept = this.pages.get(page);
      if (kept ? kept.length === at : at === 0) {
        if (kept) kept.push({ number: n, timestamp, text });
        else this.keep(page, [{ number: n, timestamp, text }]);
      }
    }
    if (typeof to === "number") this.grow(to);
    this.changed();
  }

  private async fetchPage(page: number) {
    try {
      const { lines, source } = await this.fetchLines({ after: page * PAGE_LINES, limit: PAGE_LINES });
      this.source = source;
      this.error = undefined;
      const kept = this.pages.get(page);
      if (!kept || kept.length < lines.length) this.keep(page, lines);
      this.grow(lines.at(-1)?.number ?? 0);
    } catch (error) {
      this.error = error;
    }
    this.asked.delete(page);
    this.changed();
  }

  private keep(page: number, lines: Line[]) {
    this.pages.delete(page);
    this.pages.set(page, lines);
    for (const oldest of this.pages.keys()) {
      if (this.pages.size <= MOST_PAGES) break;
      this.pages.delete(oldest);
    }
  }

  private grow(total: number) {
    if (total > this.total) this.total = total;
  }

  /** Tells watchers now and then, however many lines come: nobody reads faster, and the frames between stay free. */
  private changed() {
    if (this.told) return;
    this.told = true;
    setTimeout(() => {
      this.told = false;
      this.version += 1;
      for (const watcher of this.watchers) watcher();
    }, TELL_MS);
  }
}

const pageOf = (number: number) => Math.floor((number - 1) / PAGE_LINES);

/** Goes through lines from after `after` on, many at once, until there are no more or it is told to stop. */
export async function* scan(fetchLines: FetchLines, after: number, signal: AbortSignal): AsyncGenerator<Line[]> {
  let seen = after;
  while (!signal.aborted) {
    const { lines } = await fetchLines({ after: seen, limit: SCAN_LINES });
    const last = lines.at(-1);
    if (!last || signal.aborted) return;
    seen = last.number;
    yield lines;
    if (lines.length < SCAN_LINES) return;
  }
}

export const MOST_HITS = 10_000;

/** A part of a search: the numbers of lines that have the text, how far it looked, and whether there is more. */
export type Hits = { lines: readonly number[]; seen: number; more: boolean };
export type FindLines = (text: string, after: number, signal: AbortSignal) => Promise<Hits>;

/** The server looks; the lines stay where they are. */
export const findJobLines =
  (id: string): FindLines =>
  (text, after, signal) =>
    take(api.GET("/api/hf/jobs/{id}/logs/search", { params: { path: { id }, query: { text, after } }, signal }));

/** For a log that nobody else looks through: its lines are fetched, many at once. */
export const findIn =
  (fetchLines: FetchLines): FindLines =>
  async (text, after) => {
    const { lines } = await fetchLines({ after, limit: SCAN_LINES });
    const wanted = text.toLowerCase();
    return {
      lines: lines.filter((line) => line.text.toLowerCase().includes(wanted)).map((line) => line.number),
      seen: lines.at(-1)?.number ?? after,
      more: lines.length >= SCAN_LINES,
    };
  };

/** The numbers of lines that have a text, in any case; at most {@link MOST_HITS}. Tells what it found as it goes. */
export async function search(
  find: FindLines,
  text: string,
  signal: AbortSignal,
  tell: (hits: readonly number[], seen: number) => void,
): Promise<void> {
  const hits: number[] = [];
  for (let seen = 0; !signal.aborted; ) {
    const part = await find(text, seen, signal);
    if (signal.aborted) return;
    hits.push(...part.lines.slice(0, MOST_HITS - hits.length));
    tell([...hits], part.seen);
    if (!part.more || part.seen <= seen || hits.length >= MOST_HITS) return;
    seen = part.seen;
  }
}
