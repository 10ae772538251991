import { dateTime } from "../../../lib/format";
import { Meter } from "../../../ui/parts";
import { type Quota, quotaWords } from "../model";

/** What is left of the account's own time on ZeroGPU, and when it is full again. */
export function ZeroGpuTime({ quota }: { quota: Quota }) {
  return (
    <div className="stack">
      <h3>Your ZeroGPU time</h3>
      <Meter
        label="ZeroGPU time left"
        share={quota.base_seconds ? quota.left_seconds / quota.base_seconds : 0}
        tone={quota.left_seconds <= 0 ? "bad" : "accent"}
      />
      <p className="faint">
        {quotaWords(quota)}
        {quota.resets_at ? `; full again ${dateTime(quota.resets_at)}` : ""}
      </p>
    </div>
  );
}
