import { type ButtonHTMLAttributes, type ReactNode, useEffect, useId, useState } from "react";
import { ago, bytes, dateTime, day } from "../lib/format";
import { Icon } from "./icons";

export type Tone = "plain" | "good" | "warn" | "bad" | "info" | "accent";

export function Button({
  kind = "default",
  busy = false,
  children,
  disabled,
  type = "button",
  ...rest
}: ButtonHTMLAttributes<HTMLButtonElement> & { kind?: "default" | "primary" | "danger" | "plain"; busy?: boolean }) {
  return (
    <button
      {...rest}
      type={type}
      className="button"
      data-kind={kind}
      disabled={disabled || busy}
      aria-busy={busy || undefined}
    >
      {children}
    </button>
  );
}

export const Badge = ({ tone = "plain", children }: { tone?: Tone; children: ReactNode }) => (
  <span className="badge" data-tone={tone}>
    {children}
  </span>
);

/** The head of a page; it names the tab, too. */
export function PageHead({ title, lead, children }: { title: string; lead?: ReactNode; children?: ReactNode }) {
  useEffect(() => {
    document.title = `${title} · Bash Gym`;
  }, [title]);
  return (
    <header className="page__head">
      <div>
        <h1>{title}</h1>
        {lead ? <p className="page__lead">{lead}</p> : null}
      </div>
      {children ? <div className="actions">{children}</div> : null}
    </header>
  );
}

export function Panel({
  title,
  actions,
  flush,
  children,
}: {
  title?: ReactNode;
  actions?: ReactNode;
  flush?: boolean;
  children: ReactNode;
}) {
  const id = useId();
  return (
    <section className="panel" aria-labelledby={title ? id : undefined}>
      {title ? (
        <div className="panel__head">
          <h2 id={id}>{title}</h2>
          {actions ? <div className="actions">{actions}</div> : null}
        </div>
      ) : null}
      <div className="panel__body" data-flush={flush || undefined}>
        {children}
      </div>
    </section>
  );
}

export const Facts = ({ children }: { children: ReactNode }) => <dl className="facts">{children}</dl>;
export const Fact = ({ label, children }: { label: ReactNode; children: ReactNode }) => (
  <>
    <dt>{label}</dt>
    <dd>{children}</dd>
  </>
);

export const Figure = ({ label, value, children }: { label: ReactNode; value: ReactNode; children?: ReactNode }) => (
  <div className="figure">
    <span className="figure__label">{label}</span>
    <span className="figure__value">{value}</span>
    {children ? <span className="faint">{children}</span> : null}
  </div>
);

/** A share of something as a bar; its words are beside it. */
export function Meter({ label, share, tone = "accent" }: { label: string; share: number; tone?: Tone }) {
  const bounded = Math.min(1, Math.max(0, share));
  return (
    <div
      className="meter"
      data-tone={tone}
      role="meter"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={Math.round(bounded * 100)}
    >
      <span style={{ width: `${bounded * 100}%` }} />
    </div>
  );
}

export function Note({ tone = "plain", title, children }: { tone?: Tone; title?: ReactNode; children?: ReactNode }) {
  return (
    <div className="note" data-tone={tone}>
      {title ? <p className="note__title">{title}</p> : null}
      {children}
    </div>
  );
}

export function Empty({ title, children, action }: { title: string; children?: ReactNode; action?: ReactNode }) {
  return (
    <div className="empty">
      <h2>{title}</h2>
      {children ? <div className="quiet stack">{children}</div> : null}
      {action ? <div className="actions">{action}</div> : null}
    </div>
  );
}

/** Takes the room that lines of text will take, so that nothing moves when they come. */
export const Skeleton = ({ lines = 3, height = "1.3em" }: { lines?: number; height?: string }) => (
  <div className="stack" aria-hidden="true">
    {Array.from({ length: lines }, (_, at) => (
      // biome-ignore lint/suspicious/noArrayIndexKey: they are all the same and never move
      <span key={at} className="skeleton" style={{ height, width: `${92 - ((at * 23) % 40)}%` }} />
    ))}
  </div>
);

/** A time: how long ago, and exactly when one points at it. It keeps up. */
export function Time({ at, brief = false }: { at: string; brief?: boolean }) {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 30_000);
    return () => clearInterval(timer);
  }, []);
  return (
    <time dateTime={at} title={dateTime(at)}>
      {ago(at, Math.max(now, Date.now()), brief ? day : dateTime)}
    </time>
  );
}

/** Text to copy, such as a command. */
export function Copyable({ text, label = "Copy" }: { text: string; label?: string }) {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), 2_000);
    return () => clearTimeout(timer);
  }, [copied]);
  return (
    <div className="code">
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what is cut off is read by scrolling with the keys */}
      <code tabIndex={0}>{text}</code>
      <Button
        kind="plain"
        aria-label={`${label}: ${text}`}
        onClick={() =>
          navigator.clipboard.writeText(text).then(
            () => setCopied(true),
            () => setCopied(false),
          )
        }
      >
        <Icon name={copied ? "check" : "copy"} />
        <span aria-live="polite">{copied ? "Copied" : ""}</span>
      </Button>
    </div>
  );
}

/** Text as it was written, set in one width; what is cut off is said. */
export const Pre = ({ text, leftOut = 0 }: { text: string; leftOut?: number }) => (
  <>
    {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what is cut off is read by scrolling with the keys */}
    <pre className="pre" tabIndex={0}>
      {text}
    </pre>
    <LeftOut size={leftOut} />
  </>
);

/** Says that a text is longer than is shown. */
export const LeftOut = ({ size }: { size: number }) =>
  size > 0 ? <span className="faint">{bytes(size)} more are not shown</span> : null;

export function Field({
  label,
  hint,
  error,
  children,
}: {
  label: ReactNode;
  hint?: ReactNode;
  error?: ReactNode;
  children: (ids: { id: string; "aria-describedby"?: string; "aria-invalid"?: true }) => ReactNode;
}) {
  const id = useId();
  const described = [hint ? `${id}-hint` : "", error ? `${id}-error` : ""].filter(Boolean).join(" ");
  return (
    <div className="field">
      <label className="field__label" htmlFor={id}>
        {label}
      </label>
      {children({
        id,
        ...(described ? { "aria-describedby": described } : {}),
        ...(error ? { "aria-invalid": true as const } : {}),
      })}
      {hint ? (
        <span className="field__hint" id={`${id}-hint`}>
          {hint}
        </span>
      ) : null}
      {error ? (
        <span className="field__error" id={`${id}-error`} role="alert">
          {error}
        </span>
      ) : null}
    </div>
  );
}

/** Tabs whose choice the caller keeps, in the URL as a rule. */
export function Tabs<T extends string>({
  label,
  tabs,
  chosen,
  choose,
}: {
  label: string;
  tabs: readonly { id: T; label: ReactNode }[];
  chosen: T;
  choose: (id: T) => void;
}) {
  return (
    <div
      className="tabs"
      role="tablist"
      aria-label={label}
      onKeyDown={(event) => {
        const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
        if (!step) return;
        const at = tabs.findIndex((tab) => tab.id === chosen);
        const next = tabs[(at + step + tabs.length) % tabs.length];
        if (!next) return;
        choose(next.id);
        event.currentTarget.querySelector<HTMLElement>(`[data-tab="${next.id}"]`)?.focus();
      }}
    >
      {tabs.map((tab) => (
        <button
          key={tab.id}
          type="button"
          role="tab"
          data-tab={tab.id}
          aria-selected={tab.id === chosen}
          tabIndex={tab.id === chosen ? 0 : -1}
          onClick={() => choose(tab.id)}
        >
          {tab.label}
        </button>
      ))}
    </div>
  );
}
