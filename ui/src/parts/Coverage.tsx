// What there is of a history and what is missing of it, a strip a year: days with candles, days without, the months above.

import type { Schemas } from "../api/client";
import { percent, plural } from "../format";

type Gap = Schemas["Gap"];

const DAY = 86_400_000;
const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

interface Part {
  at: number;
  days: number;
  title: string;
}

/** The days of a year that lie between two dates, both of them in. */
function within(year: number, from: number, to: number, title: string): Part | null {
  const [first, last] = [Date.UTC(year, 0, 1), Date.UTC(year, 11, 31)];
  const [begin, end] = [Math.max(from, first), Math.min(to, last)];
  return begin > end ? null : { at: Math.round((begin - first) / DAY), days: Math.round((end - begin) / DAY) + 1, title };
}

const dayOf = (text: string) => Date.parse(`${text.slice(0, 10)}T00:00:00Z`);
const named = ({ from, to, days, hours, begins, ends }: Gap) =>
  hours && begins && ends ? `${from}, ${begins.slice(11, 16)} to ${ends.slice(11, 16)} UTC` : from === to ? from : `${from} to ${to}, ${plural(days, "day")} of trade`;

export function Coverage({ first, last, gaps, coverage }: { first: string; last: string; gaps: Gap[]; coverage: number | null | undefined }) {
  const [from, to] = [dayOf(first), dayOf(last)];
  const years: number[] = [];
  for (let year = new Date(from).getUTCFullYear(); year <= new Date(to).getUTCFullYear(); year += 1) years.push(year);
  return (
    <figure className="cover" role="img" aria-label={`From ${first.slice(0, 10)} to ${last.slice(0, 10)}, ${coverage === null || coverage === undefined ? "coverage unknown" : percent(coverage)} of the time with trade; ${plural(gaps.length, "gap")}`}>
      <div className="cover-row cover-months" aria-hidden="true"><span /><span className="cover-names">{months.map((month) => <span key={month}>{month}</span>)}</span></div>
      {years.map((year) => {
        const held = within(year, from, to, `${year}`);
        const missing = gaps.map((gap) => within(year, dayOf(gap.from), dayOf(gap.to), `Missing: ${named(gap)}`)).filter((part): part is Part => part !== null);
        return (
          <div key={year} className="cover-row" aria-hidden="true">
            <span className="num faint">{year}</span>
            <svg viewBox="0 0 366 10" preserveAspectRatio="none">
              <rect className="cover-none" x={0} y={0} width={366} height={10} />
              {held && <rect className="cover-held" x={held.at} y={0} width={held.days} height={10} />}
              {missing.map((part) => <rect key={`${part.at} ${part.title}`} className="cover-gap" x={part.at} y={0} width={Math.max(part.days, 1.2)} height={10}><title>{part.title}</title></rect>)}
            </svg>
          </div>
        );
      })}
      <figcaption className="cover-key small muted" aria-hidden="true"><span className="cover-held" />there<span className="cover-gap" />missing<span className="cover-none" />not asked for</figcaption>
    </figure>
  );
}

export const Gaps = ({ gaps }: { gaps: Gap[] }) =>
  gaps.length === 0 ? null : (
    <details className="gaps small">
      <summary>{plural(gaps.length, "gap")}</summary>
      <ul>{gaps.slice(0, 60).map((gap) => <li key={gap.begins ?? gap.from} className="num">{named(gap)}</li>)}{gaps.length > 60 && <li className="faint">and {gaps.length - 60} more</li>}</ul>
    </details>
  );
