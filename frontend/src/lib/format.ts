/** Numbers and times in the person's locale. Nothing here knows of React or of the server. */
const locale = () => (typeof navigator === "undefined" ? "en" : navigator.language);

const made = new Map<string, unknown>();
function once<T>(key: string, make: () => T): T {
  const name = `${locale()} ${key}`;
  if (!made.has(name)) made.set(name, make());
  return made.get(name) as T;
}

export const number = (value: number, digits = 0) =>
  once(`n${digits}`, () => new Intl.NumberFormat(locale(), { maximumFractionDigits: digits })).format(value);

export const percent = (share: number, digits = 0) =>
  once(`p${digits}`, () => new Intl.NumberFormat(locale(), { style: "percent", maximumFractionDigits: digits })).format(
    share,
  );

/** Dollars. An unknown price is said to be unknown, never zero; small ones keep their first two figures. */
export function usd(value: number | null | undefined): string {
  if (value === null || value === undefined) return "unknown";
  const small = value !== 0 && Math.abs(value) < 0.01;
  return once(
    `usd${small}`,
    () =>
      new Intl.NumberFormat(locale(), {
        style: "currency",
        currency: "USD",
        currencyDisplay: "narrowSymbol",
        ...(small ? { maximumSignificantDigits: 2 } : { minimumFractionDigits: 2, maximumFractionDigits: 2 }),
      }),
    // A sum of nothing may be a negative zero.
  ).format(value === 0 ? 0 : value);
}

/** Dollars of millionths. */
export const usdOf = (micro: number | null | undefined) => (micro === null || micro === undefined ? null : micro / 1e6);

/** Sizes in bytes. */
export function bytes(value: number): string {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"] as const;
  let at = 0;
  let size = value;
  while (Math.abs(size) >= 1000 && at < units.length - 1) {
    size /= 1000;
    at += 1;
  }
  const unit = units[at] ?? "byte";
  return once(
    `b${unit}`,
    () =>
      new Intl.NumberFormat(locale(), {
        style: "unit",
        unit,
        unitDisplay: "short",
        maximumFractionDigits: at === 0 ? 0 : 1,
      }),
  ).format(size);
}

/** A length of time in seconds, in its two largest parts: `2 hr, 5 min`. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const parts: [number, string][] = [
    [Math.floor(whole / 86_400), "day"],
    [Math.floor(whole / 3600) % 24, "hour"],
    [Math.floor(whole / 60) % 60, "minute"],
    [whole % 60, "second"],
  ];
  const first = parts.findIndex(([count]) => count > 0);
  const shown = first < 0 ? parts.slice(3) : parts.slice(first, first + 2).filter(([count]) => count > 0);
  return shown
    .map(([count, unit]) =>
      once(`d${unit}`, () => new Intl.NumberFormat(locale(), { style: "unit", unit, unitDisplay: "short" })).format(
        count,
      ),
    )
    .join(" ");
}

/** How long something quick took, given in seconds: `45 ms`, `1.5 s`. */
export const took = (seconds: number) =>
  seconds < 1 ? `${number(seconds * 1000)} ms` : `${number(seconds, seconds < 10 ? 1 : 0)} s`;

export const dateTime = (time: string | number | Date) =>
  once("dt", () => new Intl.DateTimeFormat(locale(), { dateStyle: "medium", timeStyle: "short" })).format(
    new Date(time),
  );

/** The day alone. */
export const day = (time: string | number | Date) =>
  once("dd", () => new Intl.DateTimeFormat(locale(), { dateStyle: "medium" })).format(new Date(time));

export const clockTime = (time: string | number | Date) =>
  once("ct", () => new Intl.DateTimeFormat(locale(), { timeStyle: "medium" })).format(new Date(time));

/** `3 minutes ago`, or what `older` makes of it when it is longer than a week. */
export function ago(time: string | number | Date, now = Date.now(), older = dateTime): string {
  const seconds = (new Date(time).getTime() - now) / 1000;
  const steps: [number, Intl.RelativeTimeFormatUnit, number][] = [
    [60, "second", 1],
    [3600, "minute", 60],
    [86_400, "hour", 3600],
    [7 * 86_400, "day", 86_400],
  ];
  const format = once("rel", () => new Intl.RelativeTimeFormat(locale(), { numeric: "auto" }));
  for (const [below, unit, size] of steps) {
    if (Math.abs(seconds) < below) return format.format(Math.round(seconds / size), unit);
  }
  return older(time);
}

/** `1 line`, `2 lines`. */
export const count = (value: number, one: string, many = `${one}s`) => `${number(value)} ${value === 1 ? one : many}`;
