import { useEffect, useRef, useState } from "react";
import { api, take } from "../../../api/client";
import { asFailure, Failure } from "../../../api/errors";
import { took } from "../../../lib/format";
import { readEvents } from "../../../lib/sse";
import { FailureNote } from "../../../ui/failure";
import { Button, Field } from "../../../ui/parts";

type Answer = { text: string; seconds: number | null };

/** Asks the app of a Space, and shows the answer as it comes. */
export function TryBox({ name, why }: { name: string; why: string | null }) {
  const [prompt, setPrompt] = useState("");
  const [tokens, setTokens] = useState("128");
  const [temperature, setTemperature] = useState("0");
  const [answer, setAnswer] = useState<Answer | null>(null);
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const stop = useRef<AbortController | null>(null);
  useEffect(() => () => stop.current?.abort(), []);

  const ask = async () => {
    const aborter = new AbortController();
    stop.current = aborter;
    setBusy(true);
    setError(undefined);
    setAnswer(null);
    const began = performance.now();
    try {
      const body = await take(
        api.POST("/api/hf/spaces/{name}/try", {
          params: { path: { name } },
          body: { prompt, max_new_tokens: Number(tokens) || 128, temperature: Number(temperature) || 0 },
          parseAs: "stream",
          signal: aborter.signal,
        }),
      );
      let over = false;
      for await (const { event, data } of readEvents(body as unknown as ReadableStream<Uint8Array>)) {
        const told = JSON.parse(data) as { text?: string | null; code?: string; detail?: string };
        if (event === "error")
          throw new Failure({ message: told.detail ?? "The app failed.", status: 0, code: told.code ?? "job_failed" });
        over = event === "done";
        if (told.text !== null && told.text !== undefined)
          setAnswer({ text: told.text, seconds: over ? (performance.now() - began) / 1000 : null });
      }
      if (!over) throw new Failure({ message: "The answer broke off.", status: 0, code: "unreachable" });
    } catch (failure) {
      if (!aborter.signal.aborted) setError(asFailure(failure));
    }
    setBusy(false);
  };

  return (
    <form
      className="stack"
      onSubmit={(event) => {
        event.preventDefault();
        if (!busy && why === null && prompt.trim()) void ask();
      }}
    >
      {why ? <p className="quiet">{why}</p> : null}
      <Field label="Prompt" hint="Ctrl and Enter sends it.">
        {(ids) => (
          <textarea
            {...ids}
            className="input"
            value={prompt}
            disabled={why !== null}
            onChange={(event) => setPrompt(event.target.value)}
            onKeyDown={(event) => {
              if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) event.currentTarget.form?.requestSubmit();
            }}
          />
        )}
      </Field>
      <div className="grid grid--tight">
        <Field label="Longest answer, in tokens">
          {(ids) => (
            <input
              {...ids}
              className="input"
              type="number"
              min="1"
              max="131072"
              value={tokens}
              disabled={why !== null}
              onChange={(event) => setTokens(event.target.value)}
            />
          )}
        </Field>
        <Field label="Temperature">
          {(ids) => (
            <input
              {...ids}
              className="input"
              type="number"
              min="0"
              max="2"
              step="0.1"
              value={temperature}
              disabled={why !== null}
              onChange={(event) => setTemperature(event.target.value)}
            />
          )}
        </Field>
      </div>
      <div className="actions">
        <Button type="submit" kind="primary" busy={busy} disabled={why !== null || !prompt.trim()}>
          Ask
        </Button>
        {busy ? <Button onClick={() => stop.current?.abort()}>Stop</Button> : null}
      </div>
      {error === undefined ? null : <FailureNote error={error} title="It did not answer" />}
      {answer === null ? null : (
        <div className="stack" aria-live="polite" aria-busy={busy || undefined}>
          <h3>Answer</h3>
          <p className="talk__text answer">{answer.text.trim() === "" ? "(nothing but blanks)" : answer.text}</p>
          {answer.seconds === null ? null : <p className="faint">in {took(answer.seconds)}</p>}
        </div>
      )}
    </form>
  );
}
