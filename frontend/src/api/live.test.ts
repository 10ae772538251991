import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { covers, Live, type LiveEvent } from "./live";

/** A socket that a test speaks through. */
class FakeSocket {
  onopen: (() => void) | null = null;
  onmessage: ((message: { data: string }) => void) | null = null;
  onclose: (() => void) | null = null;
  closed = false;
  constructor(readonly url: URL) {}
  close() {
    this.closed = true;
  }
  say(message: unknown) {
    this.onmessage?.({ data: JSON.stringify(message) });
  }
}

let sockets: FakeSocket[] = [];
const make = (url: string) => {
  const socket = new FakeSocket(new URL(url));
  sockets.push(socket);
  return socket as unknown as WebSocket;
};
const event = (seq: number, topic: string): LiveEvent => ({ seq, topic, type: "run:state", time: "", data: {} });
const last = () => sockets.at(-1) as FakeSocket;

beforeEach(() => {
  sockets = [];
  vi.useFakeTimers();
});
afterEach(() => vi.useRealTimers());

test("after a break it goes on from the last event that was seen", () => {
  const live = new Live(make);
  const seen: number[] = [];
  live.listen("run:*", (one) => seen.push(one.seq));
  live.open();
  expect(last().url.searchParams.has("after")).toBe(false);
  last().onopen?.();
  last().say({ type: "subscribed", topics: ["*"], seq: 4 });
  last().say(event(5, "run:a"));
  last().say(event(6, "job:b"));
  last().onclose?.();
  expect(live.getState()).toBe("waiting");
  vi.runOnlyPendingTimers();
  expect(sockets.length).toBe(2);
  expect(last().url.searchParams.get("after")).toBe("6");
  last().onopen?.();
  last().say(event(7, "run:a"));
  expect(seen).toEqual([5, 7]);
});

test("a break before the first event goes on from where it was joined", () => {
  const live = new Live(make);
  live.open();
  last().say({ type: "subscribed", topics: ["*"], seq: 0 });
  last().onclose?.();
  vi.runOnlyPendingTimers();
  expect(last().url.searchParams.get("after")).toBe("0");
});

test("when what was missed is gone, everybody is told to read anew", () => {
  const live = new Live(make);
  const resync = vi.fn();
  live.listen("job:a", () => {}, resync);
  live.open();
  last().say({ type: "resync", seq: 90 });
  last().onclose?.();
  vi.runOnlyPendingTimers();
  expect(resync).toHaveBeenCalledTimes(1);
  expect(last().url.searchParams.get("after")).toBe("90");
});

test("it waits longer each time, and what is closed stays closed", () => {
  const live = new Live(make);
  vi.spyOn(Math, "random").mockReturnValue(0.5);
  live.open();
  last().onclose?.();
  vi.advanceTimersByTime(499);
  expect(sockets.length).toBe(1);
  vi.advanceTimersByTime(1);
  expect(sockets.length).toBe(2);
  last().onclose?.();
  vi.advanceTimersByTime(999);
  expect(sockets.length).toBe(2);
  vi.advanceTimersByTime(1);
  expect(sockets.length).toBe(3);
  const socket = last();
  live.close();
  socket.onclose?.();
  vi.runAllTimers();
  expect(socket.closed).toBe(true);
  expect(sockets.length).toBe(3);
  expect(live.getState()).toBe("closed");
});

test("text that is no message is passed over", () => {
  const live = new Live(make);
  const hear = vi.fn();
  live.listen("*", hear);
  live.open();
  last().onmessage?.({ data: "{" });
  last().say({ type: "error", code: "bad_topic", message: "no" });
  expect(hear).not.toHaveBeenCalled();
});

test("a topic covers itself, and with a star all that begin so", () => {
  expect(covers("job:66", "job:66aa")).toBe(false);
  expect(covers("job:*", "job:66aa")).toBe(true);
  expect(covers("*", "budget")).toBe(true);
});
