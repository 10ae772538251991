import { spans } from "../model";

/** Which time is looked at. */
export const SpanChoice = ({ seconds, choose }: { seconds: string; choose: (seconds: string) => void }) => (
  <>
    <label className="sr" htmlFor="span">
      Which time
    </label>
    <select id="span" className="input" value={seconds} onChange={(event) => choose(event.target.value)}>
      {spans.map(([value, label]) => (
        <option key={value} value={value}>
          {label}
        </option>
      ))}
    </select>
  </>
);
