import { expect, test } from "vitest";
import { perHour, requestOf } from "./model";

const read = (text: string) => requestOf(new URLSearchParams(text));

test("the address is the request", () => {
  expect(read("")).toBeNull();
  expect(read("dataset=me/one&preset=tiny&flavor=cpu-basic&timeout=3600&steps=40")).toEqual({
    dataset: "me/one",
    preset: "tiny",
    flavor: "cpu-basic",
    timeout_seconds: 3600,
    max_steps: 40,
  });
  expect(read("dataset=me/one&base=org/model&recipe=dpo&method=qlora&epochs=1.5")).toEqual({
    dataset: "me/one",
    base_model: "org/model",
    recipe: "dpo",
    method: "qlora",
    epochs: 1.5,
  });
});

test("what makes no sense for the other kind is not sent, nor are broken numbers", () => {
  expect(read("dataset=me/one&recipe=dpo&epochs=2")).toEqual({ dataset: "me/one" });
  expect(read("dataset=me/one&base=org/model&preset=tiny&epochs=-1&timeout=soon")).toEqual({
    dataset: "me/one",
    base_model: "org/model",
  });
});

test("an unknown price stays unknown", () => {
  expect(perHour(null)).toBeNull();
  expect(perHour(167)).toBeCloseTo(0.01002);
});
