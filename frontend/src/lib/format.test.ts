import { afterEach, expect, test, vi } from "vitest";
import { ago, bytes, count, day, duration, number, percent, took, usd } from "./format";

const speak = (language: string) => vi.spyOn(navigator, "language", "get").mockReturnValue(language);
afterEach(() => vi.restoreAllMocks());

test("an unknown price is not zero, and a small one is not nothing", () => {
  speak("en-GB");
  expect(usd(null)).toBe("unknown");
  expect(usd(0)).toBe("$0.00");
  expect(usd(-0)).toBe("$0.00");
  expect(usd(0.000167)).toBe("$0.00017");
  expect(usd(12.5)).toBe("$12.50");
});

test("numbers are written as the person writes them", () => {
  speak("de-DE");
  expect(number(1234567.5, 1)).toBe("1.234.567,5");
  expect(percent(0.256)).toBe("26\u00a0%");
  speak("en-GB");
  expect(number(1234567.5, 1)).toBe("1,234,567.5");
});

test("sizes and times are told in their largest parts", () => {
  speak("en-GB");
  expect(bytes(999)).toBe("999 byte");
  expect(bytes(77_292_096)).toBe("77.3 MB");
  expect(duration(0)).toBe("0 secs");
  expect(duration(7_260)).toBe("2 hrs 1 min");
  expect(duration(86_400 * 2)).toBe("2 days");
  expect(count(1, "line")).toBe("1 line");
  expect(count(2, "match", "matches")).toBe("2 matches");
});

test("a time is told by how long ago it is, and by its date when that is long", () => {
  speak("en-GB");
  const now = Date.parse("2026-11-23T12:00:00Z");
  expect(ago("2026-11-23T11:58:00Z", now)).toBe("2 minutes ago");
  expect(ago("2026-11-22T12:00:00Z", now)).toBe("yesterday");
  expect(ago("2026-10-01T12:00:00Z", now)).toContain("2026");
  expect(ago("2026-10-01T12:00:00Z", now, day)).toBe("1 Oct 2026");
});

test("what is quick is told in milliseconds", () => {
  speak("en-GB");
  expect([took(0.006), took(1.52), took(12.4)]).toEqual(["6 ms", "1.5 s", "12 s"]);
});
