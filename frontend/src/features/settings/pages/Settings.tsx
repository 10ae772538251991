import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Confirm } from "../../../ui/dialog";
import { FailureNote } from "../../../ui/failure";
import { Load } from "../../../ui/load";
import { Badge, Button, Field, Note, PageHead, Panel, Skeleton } from "../../../ui/parts";
import { toast } from "../../../ui/toasts";
import { OrgPanel, RootsPanel } from "../components/Choices";
import { settingsQuery, tokenQuery, useRemoveToken, useReplaceToken, useSignOut, versionQuery } from "../queries";

/** What a setting is, in words, and how it is changed. A new one is shown by its name. */
const about: Record<string, { label: string; what: string; change?: string }> = {
  default_org: { label: "Organisation", what: "Owns what is made, and pays", change: "HF_ORG, --org NAME, or above" },
  endpoint: {
    label: "Hub",
    what: "Where the token goes: so no page may change it, only whoever starts the server",
    change: "HF_ENDPOINT, or --endpoint URL",
  },
  hf_home: {
    label: "Hugging Face folder",
    what: "Where the token and downloads of Hugging Face are kept",
    change: "HF_HOME",
  },
  offline: { label: "Offline", what: "Whether the network is left alone", change: "HF_HUB_OFFLINE" },
  storage_repo: {
    label: "Storage repository",
    what: "Where private files are kept on the Hub",
    change: "HF_STORAGE_REPO",
  },
  token: { label: "Token", what: "Whether there is one; it is never shown", change: "HF_TOKEN, or above" },
  username: { label: "User name", what: "Whose name is used where the token does not say", change: "HF_USERNAME" },
  home: { label: "Home folder", what: "State, datasets, models and the server's key", change: "BASHGYM_HOME" },
  database: { label: "Database", what: "Where everything is remembered", change: "BASHGYM_DATABASE_URL" },
};

export default function Settings() {
  const settings = useQuery(settingsQuery);
  const version = useQuery(versionQuery);
  const signOut = useSignOut();
  return (
    <div className="page">
      <PageHead title="Settings" lead="Where each value came from, and how to change it." />
      <div className="grid">
        <TokenPanel />
        <OrgPanel setting={settings.data?.find((one) => one.name === "default_org")} />
        <RootsPanel />
      </div>
      <Panel title="All settings" flush>
        <Load
          query={settings}
          skeleton={
            <div className="panel__body">
              <Skeleton lines={8} />
            </div>
          }
        >
          {(list) => (
            <div className="scroll">
              <table className="table table--stack">
                <thead>
                  <tr>
                    <th scope="col">Setting</th>
                    <th scope="col">Value</th>
                    <th scope="col">Comes from</th>
                    <th scope="col">Changed by</th>
                  </tr>
                </thead>
                <tbody>
                  {list.map((one) => (
                    <tr key={one.name}>
                      <th scope="row" className="table__name">
                        {about[one.name]?.label ?? one.name}
                        <div className="faint">{about[one.name]?.what}</div>
                      </th>
                      <td data-label="Value">
                        <code>{shown(one.value)}</code>
                      </td>
                      <td data-label="Comes from">{one.source}</td>
                      <td data-label="Changed by">
                        {about[one.name]?.change ? <code>{about[one.name]?.change}</code> : "–"}
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          )}
        </Load>
      </Panel>
      <Panel title="This browser">
        <p className="quiet">
          It is signed in for twelve hours, by a cookie that no script can read.
          {version.data ? ` Server: ${version.data.name} ${version.data.version}.` : ""}
        </p>
        {signOut.isError ? <FailureNote error={signOut.error} /> : null}
        <div className="actions">
          <Button busy={signOut.isPending} onClick={() => signOut.mutate()}>
            Sign out
          </Button>
        </div>
      </Panel>
    </div>
  );
}

function shown(value: unknown): string {
  if (value === null || value === undefined || value === "") return "not set";
  if (value === true) return "yes";
  if (value === false) return "no";
  return typeof value === "string" ? value : JSON.stringify(value);
}

function TokenPanel() {
  const query = useQuery(tokenQuery);
  const replace = useReplaceToken();
  const remove = useRemoveToken();
  const [token, setToken] = useState("");
  const [asking, setAsking] = useState(false);
  return (
    <Panel title="Hugging Face token">
      <Load query={query}>
        {(view) => (
          <>
            <p className="row">
              <Badge tone={view.set ? "good" : "plain"}>{view.set ? "Set" : "Not set"}</Badge>
              {view.set && view.source ? <span className="quiet">from {view.source}</span> : null}
            </p>
            {view.changeable ? null : (
              <Note tone="info" title="It cannot be changed here">
                {view.why ? <p>{view.why}</p> : null}
              </Note>
            )}
            <form
              className="stack"
              onSubmit={(event) => {
                event.preventDefault();
                replace.mutate(token.trim(), {
                  onSuccess: () => {
                    setToken("");
                    toast("The token is stored; the Hub knows it.", "good");
                  },
                });
              }}
            >
              <Field
                label={view.set ? "Replace it with" : "Token"}
                hint={
                  <>
                    The Hub is asked first: one that it does not know is not stored. Make one at{" "}
                    <a href="https://huggingface.co/settings/tokens">huggingface.co/settings/tokens</a>, with “write” or
                    with the permissions that the account page names.
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
                    placeholder="hf_…"
                    disabled={!view.changeable}
                    value={token}
                    onChange={(event) => setToken(event.target.value)}
                  />
                )}
              </Field>
              {replace.isError ? <FailureNote error={replace.error} title="The token was not stored" /> : null}
              <div className="actions">
                <Button
                  type="submit"
                  kind="primary"
                  busy={replace.isPending}
                  disabled={!view.changeable || token.trim() === ""}
                >
                  {replace.isPending ? "Asking the Hub" : "Store the token"}
                </Button>
                {view.set && view.changeable ? (
                  <Button kind="danger" onClick={() => setAsking(true)}>
                    Remove it
                  </Button>
                ) : null}
              </div>
            </form>
            <Confirm
              title="Remove the stored token?"
              open={asking}
              close={() => setAsking(false)}
              action="Remove the token"
              run={() => remove.mutateAsync()}
            >
              <p>
                This machine forgets it, and works on the embedded Hub from then on. On Hugging Face the token stays
                valid until you revoke it there; jobs that run go on.
              </p>
            </Confirm>
          </>
        )}
      </Load>
    </Panel>
  );
}
