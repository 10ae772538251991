import { useEffect } from "react";

const typing = (target: EventTarget | null) =>
  target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));

/**
 * Runs what is bound to keys: `mod+k` (Ctrl or Command), `?`, or two in a row as `g j`. Single keys are left alone while one
 * writes, and while a dialog is open.
 */
export function useKeys(bindings: Readonly<Record<string, () => void>>) {
  useEffect(() => {
    let first = "";
    let timer: ReturnType<typeof setTimeout> | undefined;
    const hear = (event: KeyboardEvent) => {
      if (event.defaultPrevented || event.isComposing) return;
      const mod = event.ctrlKey || event.metaKey;
      if (mod && !event.altKey && !event.shiftKey) {
        const run = bindings[`mod+${event.key.toLowerCase()}`];
        if (run) {
          event.preventDefault();
          run();
        }
        return;
      }
      if (mod || event.altKey || typing(event.target) || document.querySelector("dialog[open]")) return;
      const run = (first && bindings[`${first} ${event.key}`]) || bindings[event.key];
      clearTimeout(timer);
      if (run) {
        first = "";
        event.preventDefault();
        run();
        return;
      }
      first = event.key;
      timer = setTimeout(() => {
        first = "";
      }, 1_000);
    };
    window.addEventListener("keydown", hear);
    return () => {
      clearTimeout(timer);
      window.removeEventListener("keydown", hear);
    };
  }, [bindings]);
}
