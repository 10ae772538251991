/** Round numbers between two, about as many as asked for. */
export function ticks(low: number, high: number, about = 5): number[] {
  if (!(high > low)) return [low];
  const raw = (high - low) / about;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((one) => one * power).find((one) => one >= raw) ?? raw;
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, at) => Number(((first + at) * step).toPrecision(12)));
}

/** At most `most` of the points: the first and the last, and the lowest and highest of each part between. */
export function thin<T>(points: readonly T[], most: number, value: (point: T) => number): T[] {
  if (points.length <= most) return [...points];
  const parts = Math.max(1, Math.floor((most - 2) / 2));
  const out: T[] = [points[0] as T];
  const inner = points.length - 2;
  for (let part = 0; part < parts; part += 1) {
    const from = 1 + Math.floor((part * inner) / parts);
    const to = 1 + Math.floor(((part + 1) * inner) / parts);
    let low = from;
    let high = from;
    for (let at = from; at < to; at += 1) {
      if (value(points[at] as T) < value(points[low] as T)) low = at;
      if (value(points[at] as T) > value(points[high] as T)) high = at;
    }
    if (from >= to) continue;
    for (const at of low === high ? [low] : [Math.min(low, high), Math.max(low, high)]) out.push(points[at] as T);
  }
  out.push(points.at(-1) as T);
  return out;
}
