import { Component, type ReactNode } from "react";
import { asFailure, sentence } from "../api/errors";
import { Button, Note } from "./parts";

/** What went wrong and what to do next, as the server says it. */
export function FailureNote({ error, title, retry }: { error: unknown; title?: string; retry?: () => void }) {
  const failure = asFailure(error);
  const cause = failure.code === "page" && failure.cause instanceof Error ? failure.cause.message : null;
  return (
    <div role="alert">
      <Note tone="bad" title={title ?? failure.message}>
        {title ? <p>{failure.message}</p> : null}
        {failure.hints.length > 0 ? (
          <ul>
            {failure.hints.map((hint) => (
              <li key={hint}>
                <Hint text={sentence(hint)} />
              </li>
            ))}
          </ul>
        ) : null}
        {cause ? <code>{cause}</code> : null}
        {failure.requestId ? <p className="faint">Request {failure.requestId} in the server's log</p> : null}
        {retry ? (
          <div className="actions">
            <Button onClick={retry}>Try again</Button>
          </div>
        ) : null}
      </Note>
    </div>
  );
}

/** A text with its commands, between backticks, set as code. */
export function Hint({ text }: { text: string }) {
  const parts = text.split("`");
  return (
    <>
      {parts.map((part, at) =>
        at % 2 === 1 ? (
          // biome-ignore lint/suspicious/noArrayIndexKey: a text's parts never move
          <code key={at}>{part}</code>
        ) : (
          part
        ),
      )}
    </>
  );
}

export class ErrorBoundary extends Component<
  { children: ReactNode; resetKey?: string },
  { error: unknown; failed: boolean }
> {
  override state = { error: undefined as unknown, failed: false };

  static getDerivedStateFromError(error: unknown) {
    return { error, failed: true };
  }

  override componentDidUpdate(before: { resetKey?: string }) {
    if (this.state.failed && before.resetKey !== this.props.resetKey)
      this.setState({ error: undefined, failed: false });
  }

  override render() {
    if (!this.state.failed) return this.props.children;
    return (
      <FailureNote
        error={this.state.error}
        title="This page could not be shown"
        retry={() => window.location.reload()}
      />
    );
  }
}
