// A report as it came: what it comes to, and its sections as tables. Sums are figures, moments are in the operator's zone.

import type { ReactNode } from "react";
import type { MadeReport, Told } from "../../api/queries";
import { exact, money, plural, sentence } from "../../format";
import { Mono, Panel, Tag, Time } from "../../parts/basic";
import { type Column, DataTable } from "../../parts/DataTable";

type Row = Record<string, Told>;

const own = new Set(["kind", "made_at", "from", "to", "client", "provider", "settings", "summary"]);
const isId = (told: Told | undefined) => typeof told === "string" && /^[0-9a-f-]{36}$/.test(told);
/** What tells rows apart, and then what they come to: three of these stand on a narrow screen, six on a middling one. */
const weighty = [
  "period", "day", "what", "result", "at", "model", "name", "operator", "node", "provider", "address", "code", "kind", "subject", "refusals", "failures", "requests", "state", "actor", "timestamp", "detail",
  "cost", "last_sequence", "status", "count", "last_seen", "signed_at", "errors", "severity", "tokens_in", "tokens_out", "face", "p95_ms", "since", "first_seen",
];
const weightOf = (name: string) => { const place = weighty.indexOf(name); return place < 0 ? weighty.length : place; };
const moment = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d/;
const isRow = (told: Told | undefined): told is Row => typeof told === "object" && told !== null && !Array.isArray(told);
const isCost = (name: string) => /(^|\.|_)cost(_dollars)?$/.test(name);

export function Said({ name, of }: { name: string; of: Told | undefined }): ReactNode {
  if (of === null || of === undefined || of === "") return <span className="faint">–</span>;
  if (typeof of === "number") return isCost(name) ? money(of) : name.endsWith("_ms") ? `${exact(of)} ms` : Number.isInteger(of) ? exact(of) : of.toLocaleString("en", { maximumFractionDigits: 2 });
  if (typeof of === "boolean") return of ? "yes" : "no";
  if (typeof of === "string") return moment.test(of) ? <Time at={of} /> : isId(of) ? <Mono title={of}>{of.slice(0, 8)}</Mono> : of;
  if (Array.isArray(of)) return of.length === 0 ? <span className="faint">none</span> : <span className="row-wrap">{of.slice(0, 12).map((one, at) => <Tag key={at}><Said name={name} of={one} /></Tag>)}{of.length > 12 && <span className="faint small">and {of.length - 12} more</span>}</span>;
  if (typeof of["name"] === "string" && (of["id"] !== undefined || of["type"] !== undefined)) return <Named of={of} />;
  const pairs = Object.entries(of).filter(([, one]) => one !== null && one !== 0);
  return pairs.length === 0 ? <span className="faint">–</span> : <span className="small">{pairs.map(([key, one], at) => <span key={key}>{at > 0 && ", "}{sentence(key).toLowerCase()} <Said name={key} of={one} /></span>)}</span>;
}

/** Somebody or something: by its name, else by what it is and the beginning of its id. */
function Named({ of }: { of: Row }) {
  const sort = typeof of["type"] === "string" ? sentence(of["type"]) : "";
  const id = typeof of["id"] === "string" ? of["id"] : "";
  return of["name"] ? <span title={[sort, id].filter(Boolean).join(" ")}>{String(of["name"])}</span> : sort || id ? <span className="row-wrap">{sort}{id && (isId(id) ? <Mono title={id}>{id.slice(0, 8)}</Mono> : <span>{id}</span>)}</span> : <span className="faint">–</span>;
}

/** As it stands in a cell, for the order of rows. */
const plain = (told: Told | undefined): string | number => (typeof told === "number" || typeof told === "string" ? told : isRow(told) ? plain(told["name"]) : "");

/** The members of all rows, those of an inner object beside each other; ids and exact twins of a figure are for programs. */
function columnsOf(rows: Row[]): Column<Row>[] {
  const names: string[] = [];
  for (const row of rows.slice(0, 50)) for (const name of Object.keys(row)) if (!names.includes(name)) names.push(name);
  // What is an id in every row is for programs, where anything else tells the rows apart.
  const isRaw = (name: string) => rows.every((row) => row[name] === null || row[name] === undefined || isId(row[name]));
  const shown = names.filter((name) => !name.endsWith("_micros") && !(isRaw(name) && names.some((other) => !isRaw(other))));
  const byWeight = [...shown].sort((a, b) => weightOf(a) - weightOf(b));
  return shown.map((name): Column<Row> => {
    const isFigure = rows.some((row) => typeof row[name] === "number");
    const sorted = (row: Row) => plain(row[name]) || (isFigure ? 0 : "");
    const place = byWeight.indexOf(name);
    return { id: name, head: sentence(name), sort: sorted, cell: (row) => <Said name={name} of={row[name]} />, ...(isFigure ? { align: "right" as const } : {}), ...(place > 5 ? { hide: "medium" as const } : place > 2 ? { hide: "narrow" as const } : {}) };
  });
}

export default function Sections({ report }: { report: MadeReport }) {
  const facts = Object.entries(report.summary).filter(([name]) => !name.endsWith("_micros"));
  const sums = facts.filter(([, told]) => typeof told === "number");
  const others = facts.filter(([, told]) => typeof told !== "number");
  const sections = Object.entries(report).filter((pair): pair is [string, Told[]] => !own.has(pair[0]) && Array.isArray(pair[1]));
  return (
    <>
      {sums.length > 0 && (
        <div className={`figures ${sums.length > 5 ? "figures-4" : ""}`}>
          {sums.map(([name, told]) => <div className="figure" key={name}><span className="figure-name">{sentence(name)}</span><span className="figure-value"><Said name={name} of={told} /></span></div>)}
        </div>
      )}
      {others.length > 0 && <Panel title="Altogether"><dl className="facts">{others.map(([name, told]) => <div key={name}><dt>{sentence(name)}</dt><dd><Said name={name} of={told} /></dd></div>)}</dl></Panel>}
      {sections.map(([name, told]) => {
        const rows = told.filter(isRow);
        return (
          <Panel key={name} title={sentence(name)} about={rows.length > 0 ? plural(rows.length, "row") : undefined} flush={rows.length > 0}>
            {rows.length === 0 ? <p className="muted small">None in this time.</p> : <DataTable label={sentence(name)} rows={rows} columns={columnsOf(rows)} keyOf={(row) => String(rows.indexOf(row))} />}
          </Panel>
        );
      })}
    </>
  );
}
