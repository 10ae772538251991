import type { Schema } from "../../../api/client";
import { usd } from "../../../lib/format";
import { Badge } from "../../../ui/parts";
import { perHour, type TrainPlan } from "../model";

type Accelerator = { manufacturer?: string; model?: string; quantity?: number; vram?: string };

/** What a job can run on, with prices as the Hub names them now. */
export function HardwareTable({
  hardware,
  chosen,
  planned,
  cheaper,
  choose,
}: {
  hardware: readonly Schema<"Hardware">[];
  chosen: string | null;
  planned: string | null;
  cheaper: TrainPlan["cheaper_flavors"];
  choose: (flavor: string | null) => void;
}) {
  const fits = new Set(cheaper.map((one) => one.name));
  return (
    <fieldset className="hardware">
      <legend className="sr">Hardware</legend>
      <label className="hardware__row">
        <input type="radio" name="flavor" checked={chosen === null} onChange={() => choose(null)} />
        <span>
          <b>The cheapest that fits</b>
          {chosen === null && planned ? <span className="faint"> now {planned}</span> : null}
        </span>
      </label>
      {hardware.map((one) => {
        const gpu = one.accelerator as Accelerator | null;
        return (
          <label key={one.name} className="hardware__row">
            <input type="radio" name="flavor" checked={chosen === one.name} onChange={() => choose(one.name)} />
            <span>
              <b>{one.pretty_name ?? one.name}</b>{" "}
              {fits.has(one.name) ? <Badge tone="good">fits, cheaper</Badge> : null}
              <span className="faint hardware__what">
                {gpu
                  ? `${gpu.quantity && gpu.quantity > 1 ? `${gpu.quantity} × ` : ""}${gpu.model ?? ""} ${gpu.vram ?? ""}, `
                  : ""}
                {one.cpu}, {one.ram}
              </span>
            </span>
            <span className="num">
              {usd(perHour(one.price_micro_usd_per_minute))}
              <span className="faint"> /h</span>
            </span>
          </label>
        );
      })}
    </fieldset>
  );
}
