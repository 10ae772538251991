import { useEffect, useMemo, useRef, useState } from "react";
import { dateTime, number } from "../lib/format";
import { thin, ticks } from "../lib/scale";

export type Series = { name: string; points: readonly { step: number; value: number }[] };
const HEIGHT = 220;
const LEFT = 52;
const RIGHT = 12;
const TOP = 10;
const BOTTOM = 26;

const short = (value: number) => {
  const size = Math.abs(value);
  if (size !== 0 && (size < 0.001 || size >= 1e6)) return value.toExponential(1);
  return number(value, size < 1 ? 4 : size < 100 ? 2 : 0);
};

/**
 * Lines over steps, or over times in milliseconds since 1970. What they show is also said in words, and in a table that can
 * be opened.
 */
export function Plot({
  title,
  series,
  axis = "step",
  marks = [],
}: {
  title: string;
  series: readonly Series[];
  axis?: "step" | "time";
  marks?: readonly { step: number; label: string }[];
}) {
  const [at, setAt] = useState<number | null>(null);
  const isTime = axis === "time";
  const place = (step: number) => (isTime ? dateTime(step) : `step ${number(step)}`);
  // Drawn as wide as it is shown, so that its words keep their size.
  const [width, setWidth] = useState(480);
  const frame = useRef<HTMLElement>(null);
  useEffect(() => {
    const element = frame.current;
    if (!element || typeof ResizeObserver === "undefined") return;
    const observer = new ResizeObserver(() => setWidth(Math.max(240, element.clientWidth)));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  const shown = useMemo(
    () =>
      series
        .filter((one) => one.points.length > 0)
        .map((one) => ({ name: one.name, points: thin(one.points, 600, (point) => point.value) })),
    [series],
  );
  const all = shown.flatMap((one) => one.points);
  const first = all[0];
  if (!first) return <figure className="plot" ref={frame} />;
  const low = { x: first.step, y: first.value };
  const high = { x: first.step, y: first.value };
  for (const { step, value } of all) {
    low.x = Math.min(low.x, step);
    high.x = Math.max(high.x, step);
    low.y = Math.min(low.y, value);
    high.y = Math.max(high.y, value);
  }
  const pad = (high.y - low.y) * 0.06 || Math.abs(high.y) * 0.05 || 1;
  const [bottom, top] = [low.y >= 0 ? Math.max(0, low.y - pad) : low.y - pad, high.y + pad];
  const x = (step: number) => LEFT + ((step - low.x) / (high.x - low.x || 1)) * (width - LEFT - RIGHT);
  const y = (value: number) => TOP + (1 - (value - bottom) / (top - bottom)) * (HEIGHT - TOP - BOTTOM);
  const path = (points: readonly { step: number; value: number }[]) =>
    points
      .map((point, order) => `${order ? "L" : "M"}${x(point.step).toFixed(1)} ${y(point.value).toFixed(1)}`)
      .join("");
  const near = (points: readonly { step: number; value: number }[], step: number) =>
    points.reduce((best, point) => (Math.abs(point.step - step) < Math.abs(best.step - step) ? point : best));
  const words = shown.map((one) => {
    const [begin, end] = [one.points[0], one.points.at(-1)];
    if (!begin || !end) return one.name;
    return `${one.name}: ${short(begin.value)} at ${place(begin.step)}, ${short(end.value)} at ${place(end.step)}`;
  });
  return (
    <figure className="plot" ref={frame}>
      <figcaption className="row">
        <h3>{title}</h3>
        {shown.map((one, order) => {
          const point = at === null ? one.points.at(-1) : near(one.points, at);
          return (
            <span key={one.name} className="plot__key">
              <span className="plot__swatch" data-series={order + 1} aria-hidden="true" />
              {one.name} <b>{point ? short(point.value) : ""}</b>
              <span className="faint">{point ? place(point.step) : ""}</span>
            </span>
          );
        })}
      </figcaption>
      <svg
        viewBox={`0 0 ${width} ${HEIGHT}`}
        role="img"
        aria-label={`${title}. ${words.join(". ")}`}
        onPointerMove={(event) => {
          const box = event.currentTarget.getBoundingClientRect();
          const across = ((event.clientX - box.left) / box.width) * width;
          setAt(low.x + ((across - LEFT) / (width - LEFT - RIGHT)) * (high.x - low.x));
        }}
        onPointerLeave={() => setAt(null)}
      >
        {ticks(bottom, top, 4).map((tick) => (
          <g key={tick}>
            <line className="plot__grid" x1={LEFT} x2={width - RIGHT} y1={y(tick)} y2={y(tick)} />
            <text className="plot__tick" x={LEFT - 6} y={y(tick) + 4} textAnchor="end">
              {short(tick)}
            </text>
          </g>
        ))}
        {isTime
          ? [low.x, high.x].map((tick, order) => (
              <text key={tick} className="plot__tick" x={x(tick)} y={HEIGHT - 8} textAnchor={order ? "end" : "start"}>
                {dateTime(tick)}
              </text>
            ))
          : ticks(low.x, high.x, Math.max(2, Math.floor(width / 90)))
              .filter((tick) => Number.isInteger(tick))
              .map((tick) => (
                <text key={tick} className="plot__tick" x={x(tick)} y={HEIGHT - 8} textAnchor="middle">
                  {number(tick)}
                </text>
              ))}
        {marks.map((mark) => (
          <line
            key={mark.label}
            className="plot__mark"
            x1={x(mark.step)}
            x2={x(mark.step)}
            y1={TOP}
            y2={HEIGHT - BOTTOM}
          >
            <title>{mark.label}</title>
          </line>
        ))}
        {shown.map((one, order) => (
          <path key={one.name} className="plot__line" data-series={order + 1} d={path(one.points)} />
        ))}
        {at === null ? null : (
          <line
            className="plot__cursor"
            x1={x(Math.min(high.x, Math.max(low.x, at)))}
            x2={x(Math.min(high.x, Math.max(low.x, at)))}
            y1={TOP}
            y2={HEIGHT - BOTTOM}
          />
        )}
      </svg>
      <details>
        <summary>As a table</summary>
        <div className="scroll">
          <table className="table">
            <thead>
              <tr>
                <th scope="col">Series</th>
                <th scope="col" className="num">
                  {isTime ? "Time" : "Step"}
                </th>
                <th scope="col" className="num">
                  Value
                </th>
              </tr>
            </thead>
            <tbody>
              {shown.flatMap((one) =>
                thin(one.points, 16, (point) => point.value).map((point) => (
                  <tr key={`${one.name} ${point.step}`}>
                    <td>{one.name}</td>
                    <td className="num">{isTime ? dateTime(point.step) : number(point.step)}</td>
                    <td className="num">{short(point.value)}</td>
                  </tr>
                )),
              )}
            </tbody>
          </table>
        </div>
      </details>
    </figure>
  );
}
