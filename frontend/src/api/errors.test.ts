import { expect, test } from "vitest";
import { asFailure, failureOf, sentence } from "./errors";

const response = (status: number, headers: Record<string, string> = {}) => new Response(null, { status, headers });

test("a problem keeps its words, its hints and its number", () => {
  const failure = failureOf(
    {
      type: "urn:bashgym:problem:slow_down",
      title: "Slow down",
      status: 429,
      code: "slow_down",
      detail: "too many wrong keys",
      hints: ["wait"],
      request_id: "01a",
    },
    response(429, { "retry-after": "7" }),
  );
  expect(failure).toMatchObject({
    message: "Too many wrong keys.",
    status: 429,
    code: "slow_down",
    hints: ["wait"],
    requestId: "01a",
    retryAfterSecs: 7,
  });
});

test("an answer that is no problem is told by its status, and never shown raw", () => {
  expect(failureOf("<html>proxy</html>", response(502)).message).toBe("The server answered 502 without saying why.");
  expect(failureOf({ code: "bad_topic", detail: "no such topic", title: "Bad Request" }, response(400)).hints).toEqual(
    [],
  );
});

test("any other error is the page's own", () => {
  expect(asFailure(new TypeError("x is undefined"))).toMatchObject({ code: "page" });
});

test("a text becomes a sentence once", () => {
  expect(sentence("no token is set")).toBe("No token is set.");
  expect(sentence("Done!")).toBe("Done!");
  expect(sentence(" ")).toBe("");
});
