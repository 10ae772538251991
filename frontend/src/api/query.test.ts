import { QueryClient } from "@tanstack/react-query";
import { expect, test, vi } from "vitest";
import type { Live, LiveEvent } from "./live";
import { followEvents, madeOld } from "./query";

test("lines of a log make nothing old, a job's state does", () => {
  expect(madeOld({ type: "hf:job:log", topic: "job:66aa" })).toEqual([]);
  expect(madeOld({ type: "hf:job:completed", topic: "job:66aa" })).toContainEqual(["job", "66aa"]);
  expect(madeOld({ type: "budget:settled", topic: "budget" })).toContainEqual(["usage"]);
  expect(madeOld({ type: "new:thing", topic: "new:1" })).toEqual([]);
});

test("a burst of events asks once, and a resync asks for everything", () => {
  vi.useFakeTimers();
  const client = new QueryClient();
  const asked = vi.spyOn(client, "invalidateQueries").mockResolvedValue();
  let hear: (event: LiveEvent) => void = () => {};
  let resync = () => {};
  const source = {
    listen: (_: string, onEvent: typeof hear, onResync: typeof resync) => {
      hear = onEvent;
      resync = onResync;
      return () => {};
    },
  };
  const stop = followEvents(client, source as unknown as Live);
  for (let seq = 1; seq <= 50; seq += 1) hear({ seq, time: "", type: "run:state", topic: "run:a", data: {} });
  vi.runAllTimers();
  expect(asked.mock.calls.map(([filters]) => filters?.queryKey)).toEqual([["runs"], ["run", "a"], ["next"]]);
  resync();
  expect(asked).toHaveBeenLastCalledWith();
  stop();
  vi.useRealTimers();
});
