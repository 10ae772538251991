import { memo, useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";
import { useLive } from "../../../api/live";
import { clockTime, count, number } from "../../../lib/format";
import { toast } from "../../../ui/toasts";
import { FailureNote } from "../../../ui/failure";
import { Icon } from "../../../ui/icons";
import { Button } from "../../../ui/parts";
import { type FetchLines, type FindLines, findIn, LogPages, MOST_HITS, search } from "../log";

const LINE_PX = 20;
/** A browser takes no element higher than some 33 million pixels: of a longer log the end is shown. */
const MOST_SHOWN = 1_500_000;
const AROUND = 8;
const POLL_MS = 2_000;
/** For how long after a touch of the wheel, a key or the screen a scroll is the person's own. */
const TOUCH_MS = 1_000;

/** A log of any length: only what is looked at is drawn and kept. */
export function LogView({
  id,
  fetchLines,
  findLines,
  over,
  line,
  showLine,
}: {
  id: string;
  fetchLines: FetchLines;
  /** Looks through the log where it is kept; without it, it is fetched and looked through here. */
  findLines?: FindLines;
  over: boolean;
  line: number | null;
  showLine: (line: number | null) => void;
}) {
  const log = useMemo(() => new LogPages(fetchLines), [fetchLines]);
  useSyncExternalStore(log.watch, log.getVersion);
  const box = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ top: 0, height: 480 });
  const [follow, setFollow] = useState(line === null);
  const [frozen, setFrozen] = useState(0);
  const total = log.total;
  const base = Math.max(0, Math.ceil((total - MOST_SHOWN) / 100_000) * 100_000);
  const shown = total - base;

  useEffect(() => {
    void log.open();
  }, [log]);
  useLive(
    `job:${id}`,
    useCallback((event) => log.hear(event), [log]),
    useCallback(() => void log.open(), [log]),
  );
  // A job that this server does not follow tells nothing: its log is asked for.
  useEffect(() => {
    if (over) {
      void log.open();
      return;
    }
    const timer = setInterval(() => {
      if (log.source !== "kept") void log.open();
    }, POLL_MS);
    return () => clearInterval(timer);
  }, [log, over]);

  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const observer = new ResizeObserver(() =>
      setView((now) => ({ ...now, top: element.scrollTop, height: element.clientHeight })),
    );
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  const goTo = useCallback(
    (wanted: number) => {
      setFollow(false);
      box.current?.scrollTo({
        top: Math.max(0, (wanted - base - 1) * LINE_PX - (box.current.clientHeight - LINE_PX) / 2),
      });
    },
    [base],
  );
  const touched = useRef(Number.NEGATIVE_INFINITY);
  const touch = () => {
    touched.current = performance.now();
  };
  const asked = useRef<number | null>(null);
  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    // Its end is at another place when its height changes.
    if (follow) element.scrollTop = shown * LINE_PX + view.height;
    else if (line !== null && asked.current !== line && total >= line) {
      asked.current = line;
      goTo(line);
    }
  }, [follow, shown, line, total, goTo, view.height]);

  const first = Math.max(0, Math.floor(view.top / LINE_PX) - AROUND);
  const last = Math.min(shown, Math.ceil((view.top + view.height) / LINE_PX) + AROUND);
  useEffect(() => {
    if (last > first) log.ensure(base + first + 1, base + last);
  }, [log, base, first, last]);

  const find = useFind(
    useMemo(() => findLines ?? findIn(fetchLines), [findLines, fetchLines]),
    goTo,
  );
  const lines = useRef({ line, showLine });
  lines.current = { line, showLine };
  const mark = useCallback(
    (wanted: number) => lines.current.showLine(wanted === lines.current.line ? null : wanted),
    [],
  );
  const rows = [];
  for (let at = first; at < last; at += 1) {
    const numberOf = base + at + 1;
    const entry = log.line(numberOf);
    rows.push(
      <Row
        key={numberOf}
        top={at * LINE_PX}
        number={numberOf}
        text={entry?.text}
        timestamp={entry?.timestamp ?? null}
        marked={numberOf === line}
        hit={numberOf === find.current}
        wanted={find.text}
        showLine={mark}
      />,
    );
  }

  return (
    <div className="log">
      <div className="log__bar">
        <form
          role="search"
          className="row"
          onSubmit={(event) => {
            event.preventDefault();
            find.step(1);
          }}
        >
          <label className="sr" htmlFor={`find-${id}`}>
            Search the log
          </label>
          <input
            id={`find-${id}`}
            className="input log__find"
            type="search"
            placeholder="Search the log"
            value={find.text}
            onChange={(event) => find.setText(event.target.value)}
          />
          <Button aria-label="Previous match" disabled={find.hits.length === 0} onClick={() => find.step(-1)}>
            <Icon name="up" />
          </Button>
          <Button aria-label="Next match" disabled={find.hits.length === 0} type="submit">
            <Icon name="down" />
          </Button>
          <span className="faint" role="status">
            {find.words}
          </span>
        </form>
        <div className="row">
          <span className="faint">{count(total, "line")}</span>
          <Button
            aria-pressed={follow}
            kind={follow ? "primary" : "default"}
            onClick={() => {
              setFollow(!follow);
              showLine(null);
            }}
          >
            <Icon name="down" />{" "}
            {follow
              ? over
                ? "At the end"
                : "Following"
              : over
                ? "To the end"
                : frozen > 0 && total > frozen
                  ? `Follow (${number(total - frozen)} new)`
                  : "Follow"}
          </Button>
          {line === null ? null : (
            <Button
              onClick={() =>
                navigator.clipboard
                  .writeText(window.location.href)
                  .then(() => toast(`The address of line ${line} is copied`))
              }
            >
              <Icon name="copy" /> Line {number(line)}
            </Button>
          )}
        </div>
      </div>
      {log.error === undefined ? null : (
        <FailureNote error={log.error} title="The log could not be read just now" retry={() => void log.open()} />
      )}
      {base > 0 ? (
        <p className="faint log__note">
          {count(base, "earlier line")} are not shown here; `bashgym jobs logs` has them all.
        </p>
      ) : null}
      <div
        className="log__box"
        ref={box}
        // A short log that is over takes no more room than it needs; one that grows keeps its place.
        style={over && shown > 0 && shown < 20 ? { height: `calc(${shown * LINE_PX}px + 1.5rem)` } : undefined}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: it is scrolled with the keys
        tabIndex={0}
        role="region"
        aria-label="Lines"
        onWheel={touch}
        onTouchMove={touch}
        onPointerDown={touch}
        onPointerMove={(event) => event.buttons > 0 && touch()}
        onKeyDown={touch}
        onScroll={(event) => {
          const { scrollTop, scrollHeight, clientHeight } = event.currentTarget;
          setView({ top: scrollTop, height: clientHeight });
          const atEnd = scrollHeight - scrollTop - clientHeight < LINE_PX * 1.5;
          // Only a person stops it: a window that changes its size scrolls, too.
          if (!atEnd && follow && performance.now() - touched.current < TOUCH_MS) {
            setFollow(false);
            setFrozen(total);
          }
        }}
      >
        <div className="log__all" style={{ height: shown * LINE_PX }}>
          {rows}
        </div>
        {log.loaded && total === 0 && log.error === undefined ? (
          <p className="log__empty quiet">
            {over ? "This job wrote nothing." : "Nothing yet. Lines show up here as they are written."}
          </p>
        ) : null}
      </div>
    </div>
  );
}

/** A line. It is drawn once: while others come it stays as it is. */
const Row = memo(function Row({
  top,
  number: of,
  text,
  timestamp,
  marked,
  hit,
  wanted,
  showLine,
}: {
  top: number;
  number: number;
  text: string | undefined;
  timestamp: string | null;
  marked: boolean;
  hit: boolean;
  wanted: string;
  showLine: (line: number) => void;
}) {
  return (
    <div
      className="log__line"
      style={{ transform: `translateY(${top}px)` }}
      data-marked={marked || undefined}
      data-hit={hit || undefined}
    >
      <button
        type="button"
        className="log__number"
        tabIndex={-1}
        title={timestamp ? clockTime(timestamp) : undefined}
        aria-label={`Link to line ${of}`}
        onClick={() => showLine(of)}
      >
        {of}
      </button>
      <span className="log__text">
        {text === undefined ? <span className="skeleton log__wait">…</span> : <Marked text={text} wanted={wanted} />}
      </span>
    </div>
  );
});

/** A text with what is looked for in it marked. */
function Marked({ text, wanted }: { text: string; wanted: string }) {
  const at = wanted ? text.toLowerCase().indexOf(wanted.toLowerCase()) : -1;
  if (at < 0) return <>{text}</>;
  return (
    <>
      {text.slice(0, at)}
      <mark>{text.slice(at, at + wanted.length)}</mark>
      {text.slice(at + wanted.length)}
    </>
  );
}

function useFind(findLines: FindLines, goTo: (line: number) => void) {
  const [text, setText] = useState("");
  const [hits, setHits] = useState<readonly number[]>([]);
  const [seen, setSeen] = useState<number | null>(null);
  const [at, setAt] = useState(-1);
  useEffect(() => {
    setHits([]);
    setAt(-1);
    setSeen(null);
    if (text.length < 2) return;
    const stop = new AbortController();
    const timer = setTimeout(() => {
      search(findLines, text, stop.signal, (found, line) => {
        setHits(found);
        setSeen(line);
      })
        .then(() => stop.signal.aborted || setSeen(-1))
        .catch(() => setSeen(null));
    }, 250);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [text, findLines]);
  const step = (by: number) => {
    if (hits.length === 0) return;
    const next = at < 0 ? (by > 0 ? 0 : hits.length - 1) : (at + by + hits.length) % hits.length;
    setAt(next);
    goTo(hits[next] as number);
  };
  const searching = text.length >= 2 && seen !== -1;
  const found = `${at < 0 ? "" : `${number(at + 1)} of `}${hits.length >= MOST_HITS ? `${number(MOST_HITS)} or more` : count(hits.length, "match", "matches")}`;
  const words = text.length < 2 ? "" : searching ? `${found}, searching${seen ? ` line ${number(seen)}` : ""}…` : found;
  return { text, setText, hits, current: at < 0 ? null : (hits[at] ?? null), step, words };
}
