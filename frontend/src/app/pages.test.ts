// @vitest-environment node
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { paths } from "../lib/paths";
import { pages } from "./pages";

const rust = readFileSync(new URL("../../../crates/bashgym-server/src/dashboard.rs", import.meta.url), "utf8");
const listed = /PAGES[^=]*= &\[([^\]]*)\]/s.exec(rust)?.[1] ?? "";
const known = [...listed.matchAll(/"([^"]*)"/g)].map((match) => match[1]);

test("the server knows the address of every page", () => {
  for (const page of pages) expect(known).toContain(page.path.split("/")[1]);
});

test("every link in the navigation leads to a page, and no two keys are the same", () => {
  const entries = pages.flatMap((page) => (page.nav ? [{ ...page.nav, path: page.path }] : []));
  for (const entry of entries) expect(entry.to.split("?")[0]).toBe(entry.path);
  const keys = entries.flatMap((entry) => (entry.keys ? [entry.keys] : []));
  expect(new Set(keys).size).toBe(keys.length);
});

test("addresses are made in one place, and a name keeps its slash", () => {
  expect(paths.dataset("me/my set", { split: "train" })).toBe("/datasets/me/my%20set?split=train");
  expect(paths.job("66aa")).toBe("/jobs/66aa");
  expect(paths.train({ dataset: "me/one" })).toBe("/train?dataset=me%2Fone");
});
