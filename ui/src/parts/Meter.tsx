import { exact } from "../format";
import { Time } from "./basic";

/** How much of a bound is used up. */
export function Meter({ label, used, limit, at, endless }: { label: string; used: number; limit: number; at?: string | null; endless?: boolean }) {
  const share = limit > 0 ? Math.min(used / limit, 1) : 1;
  const tone = endless ? "good" : share >= 0.95 ? "bad" : share >= 0.8 ? "warn" : "good";
  return (
    <div className="meter">
      <p className="meter-head"><span>{label}</span><span className="num">{endless ? `${exact(used)}, no limit` : `${exact(used)} of ${exact(limit)}`}</span></p>
      <progress className={`meter-bar meter-${tone}`} max={1} value={endless ? 0 : share} aria-label={label} />
      {at && !endless && used > 0 && <p className="faint small">Free again <Time at={at} as="relative" /></p>}
    </div>
  );
}
