import { useEffect, useLayoutEffect, useRef, useState } from "react";
import { clockTime, count } from "../../../lib/format";
import { Button, Tabs } from "../../../ui/parts";

type Line = { number: number; timestamp: string | null; text: string };
type State = { lines: Line[]; seen: number; end: "open" | "over" | "broken" | "refused" };

/** Lines that are kept: the command line has all of them. */
const MOST_LINES = 2_000;
const empty: State = { lines: [], seen: 0, end: "open" };

/** Follows a log; what comes is gathered until the next frame. One that was over goes on when the stage changes. */
function useLog(name: string, log: string, stage: string): State {
  const [state, setState] = useState<State>(empty);
  const [round, setRound] = useState(0);
  const end = useRef(state.end);
  end.current = state.end;
  const before = useRef(stage);
  useEffect(() => {
    if (before.current === stage) return;
    before.current = stage;
    if (end.current !== "open") setRound((now) => now + 1);
  }, [stage]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: another round reads anew
  useEffect(() => {
    setState(empty);
    let waiting: Line[] = [];
    let frame = 0;
    const show = (end?: State["end"]) => {
      const come = waiting;
      waiting = [];
      frame = 0;
      setState((now) => ({
        lines: come.length === 0 ? now.lines : [...now.lines, ...come].slice(-MOST_LINES),
        seen: Math.max(now.seen, come.at(-1)?.number ?? 0),
        end: end ?? (come.length > 0 ? "open" : now.end),
      }));
    };
    const source = new EventSource(`/api/hf/spaces/${encodeURIComponent(name)}/logs/stream?log=${log}`);
    source.addEventListener("line", (event) => {
      waiting.push(JSON.parse((event as MessageEvent<string>).data) as Line);
      if (frame === 0) frame = requestAnimationFrame(() => show());
    });
    source.addEventListener("end", () => {
      source.close();
      show("over");
    });
    // It is asked for again by the browser, from the last line on, unless it was refused.
    source.onerror = () => show(source.readyState === EventSource.CLOSED ? "refused" : "broken");
    return () => {
      cancelAnimationFrame(frame);
      source.close();
    };
  }, [name, log, round]);
  return state;
}

export function SpaceLog({
  name,
  stage,
  log,
  choose,
}: {
  name: string;
  stage: string;
  log: "build" | "run";
  choose: (log: "build" | "run") => void;
}) {
  const { lines, seen, end } = useLog(name, log, stage);
  const box = useRef<HTMLDivElement>(null);
  const [follow, setFollow] = useState(true);
  // biome-ignore lint/correctness/useExhaustiveDependencies: each line moves the end
  useLayoutEffect(() => {
    if (follow && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [lines, follow]);
  return (
    <div className="log">
      <div className="log__bar">
        <Tabs
          label="Log"
          tabs={[
            { id: "build", label: "Build" },
            { id: "run", label: "Run" },
          ]}
          chosen={log}
          choose={choose}
        />
        <div className="row">
          <span className="faint" role="status">
            {count(seen, "line")}
            {end === "broken" ? ", connecting again" : ""}
          </span>
          <Button aria-pressed={follow} kind={follow ? "primary" : "default"} onClick={() => setFollow(!follow)}>
            {follow ? "Following" : "Follow"}
          </Button>
        </div>
      </div>
      {seen > lines.length ? (
        <p className="faint log__note">
          Earlier lines: <code>bashgym space logs {name}</code>
        </p>
      ) : null}
      <div
        className="log__box log__box--short"
        ref={box}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: it is scrolled with the keys
        tabIndex={0}
        role="region"
        aria-label={log === "build" ? "Build log" : "Run log"}
        onWheel={(event) => event.deltaY < 0 && setFollow(false)}
      >
        {lines.length === 0 ? (
          <p className="log__empty quiet">
            {end === "over" ? "It wrote nothing." : end === "refused" ? "It cannot be read now." : "Nothing yet."}
          </p>
        ) : (
          <ol className="log__list">
            {lines.map((line) => (
              <li key={line.number}>
                <span className="log__time">{line.timestamp ? clockTime(line.timestamp) : ""}</span>
                <span>{line.text}</span>
              </li>
            ))}
          </ol>
        )}
      </div>
    </div>
  );
}
