import { type ReactNode, useEffect, useId, useRef, useState } from "react";
import { FailureNote } from "./failure";
import { Button } from "./parts";

/** A dialog of the browser's own: focus stays in it, Escape closes it, and what is behind is inert. */
export function Dialog({
  title,
  open,
  close,
  className = "",
  children,
}: {
  title: string;
  open: boolean;
  close: () => void;
  className?: string;
  children: ReactNode;
}) {
  const ref = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const dialog = ref.current;
    if (!dialog) return;
    if (open && !dialog.open) dialog.showModal();
    if (!open && dialog.open) dialog.close();
  }, [open]);
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: Escape closes it; a click beside it does, too
    <dialog
      ref={ref}
      className={`dialog ${className}`}
      aria-label={title}
      onClose={close}
      onClick={(event) => {
        if (event.target === ref.current) close();
      }}
    >
      {open ? children : null}
    </dialog>
  );
}

/**
 * Asks before money is spent or something is removed: what will happen, to what, billed to whom. With `typed` the name has
 * to be written first.
 */
export function Confirm({
  title,
  open,
  close,
  action,
  run,
  typed,
  kind = "danger",
  children,
}: {
  title: string;
  open: boolean;
  close: () => void;
  action: string;
  run: () => Promise<unknown>;
  typed?: string;
  kind?: "danger" | "primary";
  children: ReactNode;
}) {
  const id = useId();
  const [text, setText] = useState("");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  useEffect(() => {
    if (open) {
      setText("");
      setError(undefined);
    }
  }, [open]);
  const ready = typed === undefined || text === typed;
  return (
    <Dialog title={title} open={open} close={close}>
      <form
        className="dialog__body"
        onSubmit={(event) => {
          event.preventDefault();
          if (!ready || busy) return;
          setBusy(true);
          setError(undefined);
          run()
            .then(close, setError)
            .finally(() => setBusy(false));
        }}
      >
        <h2>{title}</h2>
        <div className="stack">{children}</div>
        {typed === undefined ? null : (
          <div className="field">
            <label className="field__label" htmlFor={id}>
              Write <code>{typed}</code> to go on
            </label>
            <input
              id={id}
              className="input mono"
              value={text}
              onChange={(event) => setText(event.target.value)}
              autoComplete="off"
              spellCheck={false}
            />
          </div>
        )}
        {error === undefined ? null : <FailureNote error={error} />}
        <div className="dialog__foot">
          <Button onClick={close}>Keep as it is</Button>
          <Button type="submit" kind={kind} disabled={!ready} busy={busy}>
            {action}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
