import { useQuery } from "@tanstack/react-query";
import type { Status } from "../../../api/status";
import { Load } from "../../../ui/load";
import { Field } from "../../../ui/parts";
import { type Hardware, isFree, isProcessor, isZero, needs, priceOf, sleepChoices } from "../model";
import { hardwareQuery } from "../queries";

/** Why hardware cannot be had, and what would change that; null where it can, or where that is not known. */
export function whyNot(status: Status | undefined, hardware: string): { why: string; unlock: string | null } | null {
  // The Hub of this machine serves everything to everybody.
  if (status?.embedded) return null;
  const found = status?.capabilities.find((one) => one.feature === needs(hardware));
  if (found?.state !== "unavailable") return null;
  return { why: found.why ?? `${found.title}: not available`, unlock: found.unlock };
}

/** ZeroGPU and the free processor first: most begin there. */
function ordered(list: readonly Hardware[]): Hardware[] {
  const zero: Hardware = {
    name: "zero-gpu",
    title: "ZeroGPU",
    cpu: null,
    ram: null,
    micro_usd_per_minute: 0,
  };
  const all = list.some((one) => isZero(one.name)) ? [...list] : [zero, ...list];
  const rank = (one: Hardware) => (isZero(one.name) ? 0 : isFree(one.name) ? 1 : 2);
  return all.sort(
    (a, b) => rank(a) - rank(b) || (a.micro_usd_per_minute ?? Infinity) - (b.micro_usd_per_minute ?? Infinity),
  );
}

export function HardwareChoice({
  status,
  value,
  onlyProcessors = false,
  choose,
  sleep,
  chooseSleep,
}: {
  status: Status | undefined;
  value: string;
  onlyProcessors?: boolean;
  choose: (hardware: string) => void;
  sleep: number;
  chooseSleep: (seconds: number) => void;
}) {
  const query = useQuery(hardwareQuery);
  return (
    <Load query={query} skeleton={<p className="quiet">Asking what Spaces run on…</p>}>
      {(list) => (
        <>
          <Field
            label="Hardware"
            hint={
              status?.embedded
                ? "On the Hub of this machine every Space runs on this machine, and nothing is charged; the prices are only shown."
                : isZero(value)
                  ? "A GPU only while it answers; the visitors' quota pays for that time."
                  : isFree(value)
                    ? "Two shared processors, always without a charge. Enough for a small student."
                    : "Billed by the minute until it sleeps, is paused or is deleted. What it costs until it first sleeps is set aside in the budget."
            }
          >
            {(ids) => (
              <select {...ids} className="input" value={value} onChange={(event) => choose(event.target.value)}>
                {ordered(list)
                  .filter((one) => !onlyProcessors || isProcessor(one.name))
                  .map((one) => (
                    <option key={one.name} value={one.name}>
                      {one.title ?? one.name}: {priceOf(one)}
                      {whyNot(status, one.name) ? " (not available to you)" : ""}
                    </option>
                  ))}
              </select>
            )}
          </Field>
          {isFree(value) ? null : (
            <Field label="Falls asleep after" hint="Nothing is billed while it sleeps; a visitor wakes it.">
              {(ids) => (
                <select
                  {...ids}
                  className="input"
                  value={String(sleep)}
                  onChange={(event) => chooseSleep(Number(event.target.value))}
                >
                  {sleepChoices.map(([seconds, label]) => (
                    <option key={seconds} value={seconds}>
                      {label}
                    </option>
                  ))}
                </select>
              )}
            </Field>
          )}
        </>
      )}
    </Load>
  );
}

/** What hardware costs an hour, in words, from the same list. */
export function usePrice(hardware: string): string {
  const query = useQuery(hardwareQuery);
  const found = query.data?.find((one) => one.name === hardware);
  if (found) return priceOf(found);
  return isFree(hardware) ? "no charge" : "price not known";
}
