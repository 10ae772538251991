import { useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useCallback, useEffect, useState } from "react";
import { api, setCsrf, take, whenSignedOut } from "../api/client";
import { asFailure, type Failure } from "../api/errors";
import { live } from "../api/live";
import { followEvents } from "../api/query";
import { FailureNote } from "../ui/failure";
import { Button, Copyable, Field, Panel } from "../ui/parts";

type Known = "asking" | "in" | "out";

/** Shows its children to a browser that the server knows, and the way in to every other. */
export function Session({ children }: { children: ReactNode }) {
  const [known, setKnown] = useState<Known>("asking");
  const [failure, setFailure] = useState<Failure>();
  const client = useQueryClient();

  const ask = useCallback(async () => {
    try {
      const session = await take(api.GET("/api/session"));
      setCsrf(session.csrf_token);
      setFailure(undefined);
      setKnown("in");
    } catch (error) {
      const why = asFailure(error);
      if (why.status === 401) {
        setFailure(undefined);
        setKnown("out");
      } else setFailure(why);
    }
  }, []);

  useEffect(() => {
    whenSignedOut(() => {
      live.close();
      setKnown("out");
    });
    void ask();
  }, [ask]);

  useEffect(() => {
    if (!failure) return;
    const timer = setTimeout(() => void ask(), 2_000);
    return () => clearTimeout(timer);
  }, [failure, ask]);

  useEffect(() => {
    if (known !== "in") return;
    live.open();
    const stop = followEvents(client);
    // A server that was started anew does not know this browser; a socket alone cannot tell why it is refused.
    const stopWatching = live.watch(() => {
      if (live.getState() === "open") void client.invalidateQueries();
      if (live.getState() === "waiting") void ask();
    });
    return () => {
      stop();
      stopWatching();
      live.close();
    };
  }, [known, client, ask]);

  if (known === "in") return children;
  if (failure) {
    return (
      <main className="signin">
        <FailureNote error={failure} retry={() => void ask()} />
      </main>
    );
  }
  return known === "out" ? <SignIn done={ask} /> : null;
}

function SignIn({ done }: { done: () => Promise<void> }) {
  const [key, setKey] = useState("");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  useEffect(() => {
    document.title = "Sign in · Bash Gym";
  }, []);
  return (
    <main className="signin">
      <Panel title="Sign in to Bash Gym">
        <p>
          The server that runs here shows its pages only to whoever has its key. The simplest way in is a link that
          works once:
        </p>
        <Copyable text="bashgym up" label="Copy the command" />
        <form
          className="stack"
          onSubmit={(event) => {
            event.preventDefault();
            setBusy(true);
            setError(undefined);
            take(api.POST("/api/session", { headers: { authorization: `Bearer ${key.trim()}` } }))
              .then(done)
              .catch(setError)
              .finally(() => setBusy(false));
          }}
        >
          <Field
            label="Or paste the server's key"
            hint={
              <>
                It is in the file <code>server.key</code> of Bash Gym’s home folder, and in the line that{" "}
                <code>bashgym --format json serve</code> prints.
              </>
            }
          >
            {(ids) => (
              <input
                {...ids}
                className="input mono"
                type="password"
                autoComplete="off"
                required
                value={key}
                onChange={(event) => setKey(event.target.value)}
              />
            )}
          </Field>
          {error === undefined ? null : <FailureNote error={error} title="That did not let you in" />}
          <div>
            <Button type="submit" kind="primary" busy={busy}>
              Sign in
            </Button>
          </div>
        </form>
      </Panel>
    </main>
  );
}
