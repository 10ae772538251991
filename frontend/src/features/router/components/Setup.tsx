import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { count } from "../../../lib/format";
import { FailureNote } from "../../../ui/failure";
import { Button, Copyable, Field, Panel, Skeleton } from "../../../ui/parts";
import { curlOf } from "../model";
import { modelsQuery, settingsQuery } from "../queries";

/** How a tool is pointed at the gateway. */
export function Setup() {
  const models = useQuery(modelsQuery);
  const settings = useQuery(settingsQuery);
  const [asked, setAsked] = useState(false);
  const base = `${window.location.origin}/v1`;
  const home = settings.data?.find((one) => one.name === "home")?.value;
  const keyFile = typeof home === "string" ? `${home}/server.key` : null;
  const names = models.data?.data.map((one) => one.id) ?? [];
  const own = names.filter((name) => !name.startsWith("hf/"));
  const [typed, setModel] = useState<string | null>(null);
  const model = typed ?? own[0] ?? names[0] ?? "bashgym/auto";
  return (
    <Panel title="Point a tool here">
      <p className="quiet">
        Whatever speaks OpenAI’s API works: give it this address, the server’s key, and one of these names as its model.
      </p>
      <Copyable text={base} label="Copy the address" />
      {models.isError ? <FailureNote error={models.error} title="The names could not be read" /> : null}
      <Field label="Model" hint={names.length > 0 ? `${count(names.length, "name")} can be asked for now.` : undefined}>
        {(ids) => (
          <>
            <input
              {...ids}
              className="input mono"
              list="gateway-models"
              autoComplete="off"
              spellCheck={false}
              value={model}
              onChange={(event) => setModel(event.target.value)}
            />
            <datalist id="gateway-models">
              {names.map((name) => (
                <option key={name} value={name} />
              ))}
            </datalist>
          </>
        )}
      </Field>
      <h3>Try it on this machine</h3>
      {settings.isPending ? (
        // A command that is copied before it is known where the key is would not work.
        <div role="status" aria-label="Loading">
          <Skeleton />
        </div>
      ) : (
        <Copyable text={curlOf(base, keyFile, model)} label="Copy the command" />
      )}
      <p className="faint">The shell reads the key from its file, so that it is on no screen.</p>
      {asked ? (
        <>
          <p className="quiet">
            This prints the key, for a tool that wants it in its settings. Treat it as a password.
          </p>
          <Copyable text={`cat "${keyFile ?? "$BASHGYM_HOME/server.key"}"`} label="Copy the command" />
        </>
      ) : (
        <div>
          <Button onClick={() => setAsked(true)}>Where is the key?</Button>
        </div>
      )}
    </Panel>
  );
}
