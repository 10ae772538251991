import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const root = join(import.meta.dirname, "../..");
export const fixtures = join(root, "fixtures/sessions");
const binary = process.env["BASHGYM_BINARY"] ?? join(root, "target/debug/bashgym");

/** The real server of a home of its own, on an embedded Hub of its own. */
export class TestServer {
  readonly home: string;
  url = "";
  key = "";
  private readonly env: NodeJS.ProcessEnv;
  private readonly log: number;
  private child: ChildProcess | undefined;

  /** With the address of a Hub it works on that one, and not on its own. */
  constructor(private readonly endpoint?: string) {
    // What the server logs is kept beside what the tests leave.
    const results = join(import.meta.dirname, "../test-results");
    mkdirSync(results, { recursive: true });
    this.log = openSync(join(results, "server.log"), "a");
    this.home = mkdtempSync(join(tmpdir(), "bashgym-e2e-"));
    // Jobs call the program by its name.
    const bin = join(this.home, "bin");
    mkdirSync(bin);
    symlinkSync(binary, join(bin, "bashgym"));
    this.env = {
      PATH: `${bin}:${process.env["PATH"]}`,
      HOME: this.home,
      BASHGYM_HOME: join(this.home, "state"),
      LANG: "C.UTF-8",
      ...(endpoint ? { HF_ENDPOINT: endpoint } : {}),
    };
  }

  /** Starts the server; at the same port as before, if it ran before. */
  async start(args: string[] = []): Promise<void> {
    const port = this.url ? new URL(this.url).port : "0";
    const child = spawn(binary, [...this.hub(), "--format", "json", "serve", "--port", port, ...args], {
      env: this.env,
      stdio: ["ignore", "pipe", this.log],
    });
    this.child = child;
    if (!child.stdout) throw new Error("the server has no output");
    for await (const line of createInterface({ input: child.stdout })) {
      const told = JSON.parse(line) as { event: string; url: string; key: string };
      if (told.event !== "ready") continue;
      this.url = told.url;
      this.key = told.key;
      return;
    }
    throw new Error("the server did not start");
  }

  private hub = () => (this.endpoint ? [] : ["--local"]);

  /** Ends the server as a crash would, or in order. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    const child = this.child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((done) => child.once("exit", done));
    child.kill(signal);
    await ended;
  }

  async dispose(): Promise<void> {
    await this.stop();
    if (!this.endpoint) this.run("hub", "stop");
    rmSync(this.home, { recursive: true, force: true });
  }

  /** Runs a command of the program in this home. */
  run(...args: string[]): { status: number | null; stdout: string; stderr: string } {
    const { status, stdout, stderr } = spawnSync(binary, [...this.hub(), "--format", "json", ...args], {
      env: this.env,
      encoding: "utf8",
    });
    return { status, stdout, stderr };
  }

  async ask<T>(method: string, path: string, body?: unknown): Promise<T> {
    const response = await fetch(this.url + path, {
      method,
      headers: { authorization: `Bearer ${this.key}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return (response.status === 204 ? undefined : await response.json()) as T;
  }

  /** The token of the one account of this home's Hub. */
  hubToken(): string {
    const accounts = JSON.parse(readFileSync(join(this.home, "state/hub/accounts.json"), "utf8")) as {
      token: string;
    }[];
    return accounts[0]?.token ?? "";
  }

  /** A link that signs a browser in once. */
  async link(): Promise<string> {
    const { path } = await this.ask<{ path: string }>("POST", "/api/session/code");
    return this.url + path;
  }
}
