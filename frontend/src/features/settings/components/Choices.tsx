import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import type { Schema } from "../../../api/client";
import { statusQuery } from "../../../api/status";
import { FailureNote } from "../../../ui/failure";
import { Load } from "../../../ui/load";
import { Button, Field, Note, Panel } from "../../../ui/parts";
import { toast } from "../../../ui/toasts";
import { rootsQuery, useSetOrg, useSetRoots } from "../queries";

type Setting = Schema<"SettingView">;

/** Who owns what is made from now on, and pays. */
export function OrgPanel({ setting }: { setting: Setting | undefined }) {
  const status = useQuery(statusQuery);
  const set = useSetOrg();
  const now = typeof setting?.value === "string" ? setting.value : "";
  const [text, setText] = useState<string | null>(null);
  const name = text ?? now;
  const account = status.data?.account;
  const orgs = account?.state === "signed_in" ? account.orgs : [];
  return (
    <Panel title="Who owns, and pays">
      <p className="quiet">
        {now
          ? `What is made belongs to ${now}, which is billed for it. From: ${setting?.source}.`
          : "What is made belongs to your own account, which is billed for it."}
      </p>
      {status.data?.embedded ? (
        <Note tone="info" title="The embedded Hub knows no organisation and bills nobody">
          <p>What you choose here holds once there is a Hugging Face token.</p>
        </Note>
      ) : null}
      {setting && !setting.changeable ? (
        <Note tone="info" title="It cannot be changed here">
          <p>It comes from the {setting.source}, which wins over what is chosen on this page.</p>
        </Note>
      ) : null}
      <form
        className="stack"
        onSubmit={(event) => {
          event.preventDefault();
          if (set.isPending) return;
          set.mutate(name.trim() || null, {
            onSuccess: () => {
              setText(null);
              toast(
                name.trim() ? `${name.trim()} owns and pays from now on` : "Your own account owns and pays",
                "good",
              );
            },
          });
        }}
      >
        <Field
          label="Organisation"
          hint={
            orgs.length > 0
              ? `Yours are ${orgs.join(", ")}; empty for your own account. The Hub is asked first.`
              : "Empty for your own account. The Hub is asked first whether you are a member."
          }
        >
          {(ids) => (
            <input
              {...ids}
              className="input mono"
              list="orgs"
              autoComplete="off"
              spellCheck={false}
              disabled={!setting?.changeable}
              value={name}
              onChange={(event) => setText(event.target.value)}
            />
          )}
        </Field>
        <datalist id="orgs">
          {orgs.map((org) => (
            <option key={org} value={org} />
          ))}
        </datalist>
        {set.isError ? <FailureNote error={set.error} title="It was not changed" /> : null}
        <div>
          <Button type="submit" busy={set.isPending} disabled={!setting?.changeable || name.trim() === now}>
            Keep it so
          </Button>
        </div>
      </form>
    </Panel>
  );
}

/** The folders that the server reads for requests. */
export function RootsPanel() {
  const roots = useQuery(rootsQuery);
  const set = useSetRoots();
  const [text, setText] = useState("");
  return (
    <Panel title="Folders that may be read">
      <p className="quiet">
        Session logs and datasets are read only below these. Whoever has the server's key may read what is in them.
      </p>
      <Load query={roots}>
        {({ fixed, added }) => (
          <>
            <ul className="stack">
              {added.map((folder) => (
                <li key={folder} className="between">
                  <code className="wrap">{folder}</code>
                  <Button
                    aria-label={`Take back ${folder}`}
                    busy={set.isPending}
                    onClick={() => set.mutate(added.filter((one) => one !== folder))}
                  >
                    Take back
                  </Button>
                </li>
              ))}
              {fixed.map((folder) => (
                <li key={folder} className="between">
                  <code className="wrap">{folder}</code>
                  <span className="faint nowrap">always</span>
                </li>
              ))}
            </ul>
            <form
              className="stack"
              onSubmit={(event) => {
                event.preventDefault();
                if (!text.trim() || set.isPending) return;
                set.mutate([...added, text.trim()], {
                  onSuccess: () => {
                    setText("");
                    toast("Its sessions can be read now", "good");
                  },
                });
              }}
            >
              <Field
                label="Another folder"
                hint="Its full path on the machine of this server. It holds after a restart."
              >
                {(ids) => (
                  <input
                    {...ids}
                    className="input mono"
                    autoComplete="off"
                    spellCheck={false}
                    placeholder="/home/me/logs"
                    value={text}
                    onChange={(event) => setText(event.target.value)}
                  />
                )}
              </Field>
              {set.isError ? <FailureNote error={set.error} title="Nothing was changed" /> : null}
              <div>
                <Button type="submit" busy={set.isPending} disabled={!text.trim()}>
                  Add the folder
                </Button>
              </div>
            </form>
          </>
        )}
      </Load>
    </Panel>
  );
}
