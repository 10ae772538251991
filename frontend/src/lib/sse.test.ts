import { expect, test } from "vitest";
import { readEvents } from "./sse";

const stream = (...pieces: Uint8Array[]) =>
  new ReadableStream<Uint8Array>({
    start(to) {
      for (const piece of pieces) to.enqueue(piece);
      to.close();
    },
  });

async function read(text: string, size: number) {
  const bytes = new TextEncoder().encode(text);
  const pieces = [];
  for (let at = 0; at < bytes.length; at += size) pieces.push(bytes.slice(at, at + size));
  const events = [];
  for await (const event of readEvents(stream(...pieces))) events.push(event);
  return events;
}

test("events are read whole, however the answer is cut", async () => {
  const text =
    ': keep alive\n\nevent: so_far\ndata: {"text":"é"}\n\nevent: done\r\ndata: one\r\ndata: two\r\n\r\ndata:bare\n\n';
  for (const size of [1, 2, 3, 7, 1000]) {
    expect(await read(text, size)).toEqual([
      { event: "so_far", data: '{"text":"é"}' },
      { event: "done", data: "one\ntwo" },
      { event: "message", data: "bare" },
    ]);
  }
});

test("an event that was cut off is none", async () => {
  expect(await read("event: done\ndata: half", 4)).toEqual([]);
});
