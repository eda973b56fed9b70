// How an alert is written: how grave it is, what it is about, and a word for each kind.

import { Link } from "@tanstack/react-router";
import type { Schemas } from "../api/client";
import { sentence } from "../format";
import { Mono, Status, Time, type Tone } from "./basic";

type Alert = Schemas["Alert"];

const tones: Record<Alert["severity"], Tone> = { critical: "bad", warning: "warn", info: "info" };
export const SeverityOf = ({ of }: { of: Alert["severity"] }) => <Status tone={tones[of]}>{of}</Status>;

const names: Partial<Record<Alert["kind"], string>> = {
  secret_refused: "Provider key refused", rotation_rolled_back: "Rotation rolled back", rotation_failed: "Key not renewed", secret_expiring: "Provider key about to end",
  client_expiring: "Client key about to end", quota_near: "Quota nearly used up", unusual_volume: "Unusual volume",
  new_address: "New address", auth_failures: "Failed authentications", ledger_degraded: "The trail waits",
  limiter_degraded: "Limits without Redis", backup_overdue: "Backup overdue", backfill_failed: "History not fetched",
  key_echoed: "Key came back in an answer", integrity: "Not as it was left", sealed: "Sealed by itself",
  kek_wear: "Key-encryption key worn", key_job_failed: "Work on the keys broken off",
};
export const nameOfKind = (kind: Alert["kind"]) => names[kind] ?? sentence(kind);

export function SubjectOf({ of: { type, id, name } }: { of: Alert["subject"] }) {
  const shown = name || id;
  switch (type) {
    case "secret": return <Link to="/secrets/$id" params={{ id }}>{shown}</Link>;
    case "client": return <Link to="/keys/$id" params={{ id }}>{shown}</Link>;
    case "provider": return <Link to="/providers/$id" params={{ id }}>{shown}</Link>;
    case "symbol": return <Link to="/market/$symbol" params={{ symbol: id }}>{shown}</Link>;
    case "installation": return <span className="muted">this installation</span>;
    case "node": return <span className="muted">node <Mono title={shown}>{shown.slice(0, 12)}</Mono></span>;
    default: return <Mono>{shown}</Mono>;
  }
}

const moment = /(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z)/;

/** What the house says of it, with its times in the operator's zone. */
export function DetailOf({ of }: { of: string }) {
  const text = of.charAt(0).toUpperCase() + of.slice(1);
  return <>{text.split(moment).map((part, at) => (at % 2 === 1 ? <Time key={at} at={part} /> : part))}</>;
}
