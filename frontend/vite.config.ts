import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

const outDir = "dist/site";

/** Packs what is worth it beside the plain file; the server sends what the browser takes. */
function packed(): Plugin {
  return {
    name: "packed",
    apply: "build",
    writeBundle(_, bundle) {
      for (const name of Object.keys(bundle)) {
        if (!/\.(js|css|html|svg|json)$/.test(name)) continue;
        const path = join(outDir, name);
        const plain = readFileSync(path);
        const gzip = gzipSync(plain, { level: 9 });
        const brotli = brotliCompressSync(plain, {
          params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: plain.length },
        });
        if (gzip.length < plain.length) writeFileSync(`${path}.gz`, gzip);
        if (brotli.length < plain.length) writeFileSync(`${path}.br`, brotli);
      }
    },
  };
}

// `npm run dev` beside a server: BASHGYM_SERVER=http://127.0.0.1:8420
const server = process.env["BASHGYM_SERVER"] ?? "http://127.0.0.1:8420";
const to = (ws: boolean) => ({ target: server, changeOrigin: true, ws, headers: { origin: server } });

export default defineConfig({
  plugins: [react(), packed()],
  build: {
    outDir,
    emptyOutDir: true,
    target: "es2023",
    manifest: "manifest.json",
    // Nothing inline: the server's content policy does not allow it.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: { proxy: { "/api": to(false), "/v1": to(false), "/login": to(false), "/ws": to(true) } },
});
