// @vitest-environment node
import { readFile } from "node:fs/promises";
import openapiTS, { astToString } from "openapi-typescript";
import { expect, test } from "vitest";

test("the types are those of the server's description", async () => {
  const description = new URL("../../../crates/bashgym-server/openapi.json", import.meta.url);
  const fresh = astToString(await openapiTS(description));
  const kept = await readFile(new URL("schema.gen.ts", import.meta.url), "utf8");
  // The command line puts a notice above.
  expect(kept.endsWith(fresh), "run `cargo xtask frontend types`").toBe(true);
});
