// What a first visit loads before anything is shown: the page, its scripts, its styles, and the home page's own.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

const LIMIT_BYTES = 200_000;
const site = new URL("../dist/site/", import.meta.url).pathname;
const manifest = JSON.parse(readFileSync(join(site, "manifest.json"), "utf8"));
const size = (file) => gzipSync(readFileSync(join(site, file)), { level: 9 }).length;

/** A chunk and everything it imports at once. */
function closure(key, seen = new Set()) {
  if (seen.has(key)) return seen;
  seen.add(key);
  for (const other of manifest[key].imports ?? []) closure(other, seen);
  return seen;
}

const entry = Object.keys(manifest).find((key) => manifest[key].isEntry);
if (!entry) throw new Error("the build has no entry");
const first = closure(entry);
let scripts = 0;
let styles = 0;
const count = (keys) => {
  for (const key of keys) {
    const chunk = manifest[key];
    if (chunk.file.endsWith(".js")) scripts += size(chunk.file);
    for (const style of chunk.css ?? []) styles += size(style);
  }
};
count(first);
const shell = scripts;
const rows = [];
for (const key of manifest[entry].dynamicImports ?? []) {
  const own = [...closure(key)].filter((one) => !first.has(one) && manifest[one].file.endsWith(".js"));
  rows.push([key.replace(/^src\/features\//, ""), own.reduce((sum, one) => sum + size(manifest[one].file), 0)]);
}
const largest = Math.max(0, ...rows.map(([, bytes]) => bytes));
const kb = (bytes) => `${(bytes / 1000).toFixed(1)} kB`;
process.stdout.write(`shell ${kb(shell)}, styles ${kb(styles)} (gzip)\n`);
for (const [name, bytes] of rows.sort((a, b) => b[1] - a[1])) process.stdout.write(`  + ${name} ${kb(bytes)}\n`);
process.stdout.write(`first load with the largest page: ${kb(shell + largest)} of ${kb(LIMIT_BYTES)}\n`);
if (shell + largest > LIMIT_BYTES) {
  process.stderr.write("a first visit loads more than its limit\n");
  process.exit(1);
}
