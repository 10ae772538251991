import { useSyncExternalStore } from "react";
import { Icon } from "./icons";
import { Button, type Tone } from "./parts";

type Toast = { id: number; text: string; tone: Tone };
let toasts: readonly Toast[] = [];
let last = 0;
const watchers = new Set<() => void>();

function set(next: readonly Toast[]) {
  toasts = next;
  for (const watcher of watchers) watcher();
}

/** Says that something happened. What must not be missed belongs on the page. */
export function toast(text: string, tone: Tone = "plain") {
  last += 1;
  const id = last;
  set([...toasts.slice(-3), { id, text, tone }]);
  setTimeout(() => set(toasts.filter((one) => one.id !== id)), 8_000);
}

export function Toasts() {
  const shown = useSyncExternalStore(
    (watcher) => {
      watchers.add(watcher);
      return () => watchers.delete(watcher);
    },
    () => toasts,
  );
  return (
    <div className="toasts" role="status" aria-live="polite">
      {shown.map((one) => (
        <div key={one.id} className="toast" data-tone={one.tone}>
          <span>{one.text}</span>
          <Button
            kind="plain"
            aria-label="Close this message"
            onClick={() => set(toasts.filter((other) => other.id !== one.id))}
          >
            <Icon name="close" />
          </Button>
        </div>
      ))}
    </div>
  );
}
