// Records of the trail as a table, and one of them whole.

import { Suspense, lazy, useState } from "react";
import type { Schemas } from "../api/client";
import { duration, local } from "../format";
import { Empty, Status, Tag, Time, type Tone } from "./basic";

const Whole = lazy(() => import("./Record"));

type Record = Schemas["Record"];

export function toneOfStatus(status: number | null | undefined): Tone {
  if (!status) return "quiet";
  return status < 300 ? "good" : status < 400 ? "info" : status < 500 ? "warn" : "bad";
}

export const actorOf = (record: Record) => record.actor.name || (record.actor.type === "guest" ? "nobody" : record.actor.type);
export const callOf = (record: Record) => (record.endpoint === "" ? `${record.kind} of the house` : record.kind === "usage" && record.provider && !record.endpoint.startsWith(`/${record.provider}`) ? `/${record.provider}${record.endpoint}` : record.endpoint);

interface Props {
  records: Record[];
  label: string;
  none: string;
  compact?: boolean;
  chosen?: string | undefined;
  onChoose?: (record: Record) => void;
}

export function Records({ records, label, none, compact, chosen, onChoose }: Props) {
  if (records.length === 0) return <Empty icon="book" title={none} />;
  return (
    <div className="scroll" tabIndex={0} role="region" aria-label={label}>
      <table className={`table records ${compact ? "records-compact" : ""}`}>
        <thead>
          <tr><th scope="col">Time</th><th scope="col">Status</th><th scope="col">Call</th>{!compact && <th scope="col" className="hide-narrow">Who</th>}<th scope="col" className="hide-medium">From</th><th scope="col" className="right hide-narrow">Took</th></tr>
        </thead>
        <tbody>
          {records.map((record) => (
            <tr key={record.id} className={`${onChoose ? "clickable" : ""} ${chosen === record.id ? "chosen" : ""}`} onClick={onChoose && (() => onChoose(record))}>
              <td className="num nowrap">
                <span className="moment"><Time at={record.timestamp} as="second" /></span>
                <span className="day"><Time at={record.timestamp} as="clock" /><span className="faint small day">{local(record.timestamp, "date")}</span></span>
              </td>
              <td><Status tone={toneOfStatus(record.status_code)}>{record.status_code ?? record.end}</Status></td>
              <td className="call">
                {onChoose ? <button type="button" className="as-link" onClick={(event) => { event.stopPropagation(); onChoose(record); }}><span className="method">{record.method}</span> {callOf(record)}</button> : <><span className="method">{record.method}</span> {callOf(record)}</>}
                {record.kind !== "usage" && <> <Tag>{record.kind}</Tag></>}
                {record.error_code && <span className="faint small"> {record.error_code}</span>}
              </td>
              {!compact && <td className="hide-narrow">{actorOf(record)}</td>}
              <td className="hide-medium faint num">{record.address ?? "–"}</td>
              <td className="right num hide-narrow">{duration(record.duration_ms)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** Comes when the first one is looked at. */
export function RecordDrawer(props: { record: Record | null; onClose: () => void }) {
  const [wanted, setWanted] = useState(false);
  if (props.record && !wanted) setWanted(true);
  return wanted && <Suspense><Whole {...props} /></Suspense>;
}
