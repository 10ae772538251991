import { useState } from "react";
import type { Schema } from "../../../api/client";
import { dateTime, percent, usd, usdOf } from "../../../lib/format";
import { Confirm } from "../../../ui/dialog";
import { FailureNote } from "../../../ui/failure";
import { Button, Field, Meter } from "../../../ui/parts";
import { toast } from "../../../ui/toasts";
import { microOf, serviceName, services, shareOf, toneOf, windowName, windows } from "../model";
import { useRemoveCap, useSetCap } from "../queries";

type Cap = Schema<"CapView">;

export function Caps({ caps }: { caps: readonly Cap[] }) {
  const remove = useRemoveCap();
  const [leaving, setLeaving] = useState<Cap | null>(null);
  if (caps.length === 0) {
    return (
      <div className="panel__body">
        <p className="quiet">
          No cap is set: nothing here stops a training or a call for its price. What may cost money is still asked
          before it starts.
        </p>
      </div>
    );
  }
  return (
    <>
      <div className="scroll">
        <table className="table table--stack">
          <thead>
            <tr>
              <th scope="col">Cap</th>
              <th scope="col">Used</th>
              <th scope="col" className="num">
                Left
              </th>
              <th scope="col">Begins anew</th>
              <th scope="col">
                <span className="sr">Change</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {caps.map((cap) => {
              const share = shareOf(cap);
              const name = `${serviceName(cap.service)}, ${windowName(cap.window)}`;
              return (
                <tr key={`${cap.service} ${cap.window}`}>
                  <th scope="row" className="table__name">
                    {usd(usdOf(cap.cap_micro_usd))} {windowName(cap.window)}
                    <div className="faint">{serviceName(cap.service)}</div>
                  </th>
                  <td data-label="Used">
                    {share === null ? (
                      <span className="faint">each run has the whole amount</span>
                    ) : (
                      <>
                        <Meter label={`Used of ${name}`} share={share} tone={toneOf(share)} />
                        <span className="faint">
                          {percent(share)}: {usd(usdOf(cap.settled_micro_usd))} spent,{" "}
                          {usd(usdOf(cap.reserved_micro_usd))} set aside
                          {cap.unknown_entries ? `, ${cap.unknown_entries} of unknown price` : ""}
                        </span>
                      </>
                    )}
                  </td>
                  <td className="num" data-label="Left">
                    {cap.left_micro_usd === null ? "–" : usd(usdOf(cap.left_micro_usd))}
                  </td>
                  <td data-label="Begins anew">{cap.resets_at ? dateTime(cap.resets_at) : "never"}</td>
                  <td className="num">
                    <Button aria-label={`Remove the cap: ${name}`} onClick={() => setLeaving(cap)}>
                      Remove
                    </Button>
                  </td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
      <Confirm
        title="Remove this cap?"
        open={leaving !== null}
        close={() => setLeaving(null)}
        action="Remove the cap"
        run={async () => {
          if (!leaving) return;
          await remove.mutateAsync({ service: leaving.service, window: leaving.window });
          toast("The cap is removed");
        }}
      >
        <p>
          {leaving
            ? `${serviceName(leaving.service)} may then cost more than ${usd(usdOf(leaving.cap_micro_usd))} ${windowName(leaving.window)}.`
            : null}
        </p>
      </Confirm>
    </>
  );
}

/** Sets a cap, or another amount for one that is there. */
export function CapForm() {
  const set = useSetCap();
  const [service, setService] = useState<string>("all");
  const [window, setWindow] = useState<string>("month");
  const [text, setText] = useState("");
  const [wrong, setWrong] = useState(false);
  return (
    <form
      className="stack"
      onSubmit={(event) => {
        event.preventDefault();
        const micro_usd = microOf(text);
        setWrong(micro_usd === null);
        if (micro_usd === null || set.isPending) return;
        set.mutate(
          { service, window, micro_usd },
          {
            onSuccess: () => {
              setText("");
              toast(`The cap is ${usd(micro_usd / 1e6)} ${windowName(window)}`, "good");
            },
          },
        );
      }}
    >
      <Field label="What it holds for">
        {(ids) => (
          <select {...ids} className="input" value={service} onChange={(event) => setService(event.target.value)}>
            {services.map((one) => (
              <option key={one} value={one}>
                {serviceName(one)}
              </option>
            ))}
          </select>
        )}
      </Field>
      <Field label="For how long">
        {(ids) => (
          <select {...ids} className="input" value={window} onChange={(event) => setWindow(event.target.value)}>
            {windows.map((one) => (
              <option key={one} value={one}>
                {windowName(one)}
              </option>
            ))}
          </select>
        )}
      </Field>
      <Field
        label="US dollars"
        hint="Days and months are those of UTC. What is set aside already stays so."
        error={wrong ? "An amount such as 5 or 0.50" : undefined}
      >
        {(ids) => (
          <input
            {...ids}
            className="input"
            inputMode="decimal"
            autoComplete="off"
            value={text}
            onChange={(event) => setText(event.target.value)}
          />
        )}
      </Field>
      {set.isError ? <FailureNote error={set.error} title="The cap was not set" /> : null}
      <div>
        <Button type="submit" kind="primary" busy={set.isPending}>
          Set the cap
        </Button>
      </div>
    </form>
  );
}
