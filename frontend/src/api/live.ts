import { useEffect, useSyncExternalStore } from "react";

/** An event of the server's log. `seq` grows by one with each. */
export type LiveEvent = { seq: number; time: string; type: string; topic: string; data: Record<string, unknown> };
export type LiveState = "closed" | "connecting" | "open" | "waiting";
type Told = { type: "subscribed"; seq: number } | { type: "resync"; seq: number } | { type: "error"; message: string };
type Listener = { topic: string; hear: (event: LiveEvent) => void; resync: (() => void) | undefined };

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15_000;

/**
 * The one WebSocket of this page. After a break it goes on from the last event that was seen; when what was missed is gone,
 * it tells everybody to read anew. Everything here is a hint: what is true is asked of the server.
 */
export class Live {
  private socket: WebSocket | null = null;
  private state: LiveState = "closed";
  private seq: number | null = null;
  private wait = FIRST_WAIT_MS;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly listeners = new Set<Listener>();
  private readonly watchers = new Set<() => void>();

  constructor(private readonly make: (url: string) => WebSocket = (url) => new WebSocket(url)) {}

  getState = () => this.state;

  watch = (watcher: () => void) => {
    this.watchers.add(watcher);
    return () => this.watchers.delete(watcher);
  };

  open() {
    if (this.socket || this.state === "waiting") return;
    this.connect();
  }

  close() {
    clearTimeout(this.timer);
    const socket = this.socket;
    this.socket = null;
    socket?.close();
    this.become("closed");
  }

  /** Hears events of a topic, `job:66aa`, or of all that begin so, `job:*`. */
  listen(topic: string, hear: (event: LiveEvent) => void, resync?: () => void) {
    const listener: Listener = { topic, hear, resync };
    this.listeners.add(listener);
    return () => {
      this.listeners.delete(listener);
    };
  }

  private connect() {
    this.become("connecting");
    const url = new URL("/ws", window.location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    // One page hears of everything: a topic that is opened later then misses nothing.
    url.searchParams.set("topics", "*");
    if (this.seq !== null) url.searchParams.set("after", String(this.seq));
    const socket = this.make(url.toString());
    this.socket = socket;
    socket.onopen = () => {
      if (this.socket !== socket) return;
      this.wait = FIRST_WAIT_MS;
      this.become("open");
    };
    socket.onmessage = (message: MessageEvent) => {
      if (this.socket === socket && typeof message.data === "string") this.take(message.data);
    };
    socket.onclose = () => {
      if (this.socket !== socket) return;
      this.socket = null;
      this.become("waiting");
      this.timer = setTimeout(() => this.connect(), this.wait * (0.75 + Math.random() / 2));
      this.wait = Math.min(this.wait * 2, LONGEST_WAIT_MS);
    };
  }

  private take(text: string) {
    let message: LiveEvent | Told;
    try {
      message = JSON.parse(text) as LiveEvent | Told;
    } catch {
      return;
    }
    if (!("topic" in message)) {
      if (message.type === "resync") {
        this.seq = message.seq;
        for (const listener of this.listeners) listener.resync?.();
      } else if (message.type === "subscribed" && this.seq === null) {
        this.seq = message.seq;
      }
      return;
    }
    this.seq = message.seq;
    for (const listener of this.listeners) {
      if (covers(listener.topic, message.topic)) listener.hear(message);
    }
  }

  private become(state: LiveState) {
    if (this.state === state) return;
    this.state = state;
    for (const watcher of this.watchers) watcher();
  }
}

export const covers = (wanted: string, topic: string) =>
  wanted.endsWith("*") ? topic.startsWith(wanted.slice(0, -1)) : wanted === topic;

export const live = new Live();

export const useLiveState = () => useSyncExternalStore(live.watch, live.getState);

/** Hears events while the component is there. Wrap `hear` in `useCallback`. */
export function useLive(topic: string, hear: (event: LiveEvent) => void, resync?: () => void) {
  useEffect(() => live.listen(topic, hear, resync), [topic, hear, resync]);
}
