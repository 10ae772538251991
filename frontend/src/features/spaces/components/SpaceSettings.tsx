import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { type Status, statusQuery } from "../../../api/status";
import { duration } from "../../../lib/format";
import { Confirm } from "../../../ui/dialog";
import { FailureNote } from "../../../ui/failure";
import { Load } from "../../../ui/load";
import { Button, Copyable, Field, Note, Panel, Time } from "../../../ui/parts";
import { isFree, type Space, sleepChoices } from "../model";
import {
  secretsQuery,
  useDevMode,
  useHardware,
  useRemoveSecret,
  useRemoveVariable,
  useSetSecret,
  useSetVariable,
  useSleepTime,
  variablesQuery,
} from "../queries";
import { HardwareChoice, usePrice, whyNot } from "./HardwareChoice";

export function SpaceSettings({ space }: { space: Space }) {
  const status = useQuery(statusQuery);
  return (
    <>
      <HardwarePanel space={space} status={status.data} />
      <Secrets name={space.space_id} />
      <Variables name={space.space_id} />
      <DevMode space={space} />
    </>
  );
}

function HardwarePanel({ space, status }: { space: Space; status: Status | undefined }) {
  const now = space.hardware_requested ?? space.hardware ?? "cpu-basic";
  const [chosen, setChosen] = useState<string | null>(null);
  const [sleep, setSleep] = useState(space.sleep_seconds ?? 3600);
  const [asking, setAsking] = useState(false);
  const hardware = useHardware(space.space_id);
  const sleeping = useSleepTime(space.space_id);
  const value = chosen ?? now;
  const price = usePrice(value);
  const blocked = whyNot(status, value);
  const owner = space.space_id.split("/")[0];
  const send = () =>
    hardware
      .mutateAsync({
        hardware: value,
        accept_cost: !isFree(value),
        ...(isFree(value) ? {} : { sleep_seconds: sleep }),
      })
      .then(() => setChosen(null));
  const isOther = value !== now;
  const isBilled = !isFree(value) && !status?.embedded;
  return (
    <Panel title="Hardware and sleep">
      <HardwareChoice
        status={status}
        value={value}
        onlyProcessors={space.app === "bashgym"}
        choose={setChosen}
        sleep={sleep}
        chooseSleep={setSleep}
      />
      {space.sleep_seconds === null ? null : (
        <p className="faint">It falls asleep after {duration(space.sleep_seconds)} without a visitor now.</p>
      )}
      {blocked && isOther ? (
        <Note tone="warn" title="Not available to you">
          {blocked.why}
        </Note>
      ) : null}
      {hardware.isError && !asking ? <FailureNote error={hardware.error} title="The hardware was not changed" /> : null}
      {sleeping.isError ? <FailureNote error={sleeping.error} title="The sleep time was not changed" /> : null}
      <div className="actions">
        <Button
          disabled={!isOther}
          busy={hardware.isPending}
          onClick={() => (isBilled ? setAsking(true) : void send().catch(() => {}))}
        >
          Change the hardware
        </Button>
        {isFree(now) ? null : (
          <Button disabled={isOther} busy={sleeping.isPending} onClick={() => sleeping.mutate(sleep)}>
            Set the sleep time
          </Button>
        )}
      </div>
      <Confirm
        title="Use hardware that is billed?"
        open={asking}
        close={() => setAsking(false)}
        action="Change it and pay"
        kind="primary"
        run={send}
      >
        <p>
          <code>{space.space_id}</code> moves to <code>{value}</code>: {price}, billed to <b>{owner}</b>, until{" "}
          {sleep === 0
            ? "you pause or delete it"
            : `it sleeps (${sleepChoices.find(([seconds]) => seconds === sleep)?.[1] ?? duration(sleep)})`}
          . It restarts. What that costs is set aside in the budget first, a day of it where it never sleeps.
        </p>
      </Confirm>
    </Panel>
  );
}

function Secrets({ name }: { name: string }) {
  const query = useQuery(secretsQuery(name));
  const set = useSetSecret(name);
  const remove = useRemoveSecret(name);
  const [leaving, setLeaving] = useState<string | null>(null);
  return (
    <Panel title="Secrets">
      <p className="quiet">The Hub never gives a value back. The app restarts when one changes.</p>
      <Load query={query}>
        {(list) =>
          list.length === 0 ? null : (
            <ul className="stack">
              {list.map((one) => (
                <li key={one.key} className="between">
                  <span className="cut">
                    <code>{one.key}</code>{" "}
                    <span className="faint">{one.updated_at ? <Time at={one.updated_at} /> : one.description}</span>
                  </span>
                  <Button kind="plain" aria-label={`Remove ${one.key}`} onClick={() => setLeaving(one.key)}>
                    Remove
                  </Button>
                </li>
              ))}
            </ul>
          )
        }
      </Load>
      <KeyForm
        what="secret"
        isSecret
        busy={set.isPending}
        error={set.error}
        save={(key, value) => set.mutateAsync({ key, value })}
      />
      <Confirm
        title="Remove this secret?"
        open={leaving !== null}
        close={() => setLeaving(null)}
        action="Remove it"
        run={() => remove.mutateAsync(leaving ?? "")}
      >
        <p>
          <code>{leaving}</code> of <code>{name}</code> is gone for good, and the app restarts without it.
        </p>
      </Confirm>
    </Panel>
  );
}

function Variables({ name }: { name: string }) {
  const query = useQuery(variablesQuery(name));
  const set = useSetVariable(name);
  const remove = useRemoveVariable(name);
  return (
    <Panel title="Variables">
      <p className="quiet">Whoever sees the Space can read these. The app restarts when one changes.</p>
      <Load query={query}>
        {(list) =>
          list.length === 0 ? null : (
            <ul className="stack">
              {list.map((one) => (
                <li key={one.key} className="between">
                  <span className="cut">
                    <code>{one.key}</code> = <code>{one.value}</code>
                  </span>
                  <Button
                    kind="plain"
                    aria-label={`Remove ${one.key}`}
                    busy={remove.isPending}
                    onClick={() => remove.mutate(one.key)}
                  >
                    Remove
                  </Button>
                </li>
              ))}
            </ul>
          )
        }
      </Load>
      {remove.isError ? <FailureNote error={remove.error} title="It was not removed" /> : null}
      <KeyForm
        what="variable"
        busy={set.isPending}
        error={set.error}
        save={(key, value) => set.mutateAsync({ key, value })}
      />
    </Panel>
  );
}

function KeyForm({
  what,
  isSecret = false,
  busy,
  error,
  save,
}: {
  what: string;
  isSecret?: boolean;
  busy: boolean;
  error: unknown;
  save: (key: string, value: string) => Promise<unknown>;
}) {
  const [key, setKey] = useState("");
  const [value, setValue] = useState("");
  return (
    <form
      className="stack"
      onSubmit={(event) => {
        event.preventDefault();
        // A secret does not stand in the page while the list is read anew; what was refused can be corrected.
        setKey("");
        setValue("");
        save(key.trim(), value).catch(() => {
          setKey((typed) => typed || key);
          setValue((typed) => typed || value);
        });
      }}
    >
      <div className="grid grid--tight">
        <Field label={`Name of a ${what}`}>
          {(ids) => (
            <input
              {...ids}
              className="input mono"
              autoComplete="off"
              spellCheck={false}
              pattern="[A-Za-z_][A-Za-z0-9_]*"
              placeholder="MY_NAME"
              required
              value={key}
              onChange={(event) => setKey(event.target.value)}
            />
          )}
        </Field>
        <Field label="Its value">
          {(ids) => (
            <input
              {...ids}
              className="input mono"
              type={isSecret ? "password" : "text"}
              autoComplete="off"
              spellCheck={false}
              required
              value={value}
              onChange={(event) => setValue(event.target.value)}
            />
          )}
        </Field>
      </div>
      {error ? <FailureNote error={error} title={`The ${what} was not set`} /> : null}
      <div>
        <Button type="submit" busy={busy}>
          Set the {what}
        </Button>
      </div>
    </form>
  );
}

function DevMode({ space }: { space: Space }) {
  const change = useDevMode(space.space_id);
  const shell = change.data?.dev_mode ? change.data : null;
  return (
    <Panel title="Dev Mode">
      <p className="quiet">
        {space.dev_mode
          ? "It is on: whoever has an SSH key of this account registered gets a shell in the running app."
          : "A shell in the running app, to look at what it does and to try a change."}
      </p>
      {change.isError ? <FailureNote error={change.error} title="Dev Mode was not changed" /> : null}
      {shell?.command ? (
        <>
          <Copyable text={shell.command} label="Copy the command" />
          <p className="faint">
            Host {shell.host}, user {shell.user}.{" "}
            {shell.keys_page ? <a href={shell.keys_page}>Register your public key</a> : null}
          </p>
        </>
      ) : null}
      <div className="actions">
        <Button
          busy={change.isPending && change.variables === true}
          onClick={() => change.mutate(true)}
          disabled={shell !== null && space.dev_mode}
        >
          {space.dev_mode ? "Show how to connect" : "Turn it on"}
        </Button>
        {space.dev_mode ? (
          <Button busy={change.isPending && change.variables === false} onClick={() => change.mutate(false)}>
            Turn it off
          </Button>
        ) : null}
      </div>
    </Panel>
  );
}
