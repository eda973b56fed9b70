// What raises an alert of each kind, and what ends it. The house holds these rules; docs/alerts.md has them whole.

import type { Schemas } from "../../api/client";

type Kind = Schemas["AlertKind"];
type Severity = Schemas["Severity"];

interface Rule {
  kind: Kind;
  /** As grave as it can become. */
  severity: Severity;
  raised: string;
  ends: string;
}

const wholly: Record<Kind, Omit<Rule, "kind">> = {
  secret_refused: { severity: "critical", raised: "The provider refuses a key at a check.", ends: "A check says yes, or the key is disabled." },
  rotation_rolled_back: { severity: "warning", raised: "A rotation went back to the version before.", ends: "The next rotation of the key begins." },
  rotation_failed: { severity: "warning", raised: "A key is not renewed by itself as the settings want it.", ends: "It was renewed." },
  secret_expiring: { severity: "critical", raised: "30, 7 and 1 days before a provider's key ends.", ends: "Another end is entered, or another key." },
  client_expiring: { severity: "critical", raised: "30, 7 and 1 days before a client key ends.", ends: "It is prolonged, or it has ended." },
  quota_near: { severity: "critical", raised: "A client key has used 80 % of its window or month; once more at 100 %.", ends: "Less than 80 % are used." },
  unusual_volume: { severity: "warning", raised: "Over 100 calls of a client key within the hour, and over five times what is usual at this hour.", ends: "The hour is as others are." },
  new_address: { severity: "info", raised: "A client key calls from an address that it never called from.", ends: "A day later." },
  auth_failures: { severity: "warning", raised: "A hundred failed authentications of one address within a minute.", ends: "Ten minutes without." },
  ledger_degraded: { severity: "critical", raised: "Records of the trail wait, or cannot be pushed or archived.", ends: "It works again." },
  limiter_degraded: { severity: "warning", raised: "Redis is away, and each node spends its share of the quotas.", ends: "Redis is back." },
  backup_overdue: { severity: "warning", raised: "No backup was made for twice its interval.", ends: "One was made." },
  backfill_failed: { severity: "warning", raised: "The history of a tracked symbol could not be fetched.", ends: "It was, or the symbol is no longer tracked." },
  key_echoed: { severity: "critical", raised: "A provider sent the real key back; it was taken out.", ends: "An hour without." },
  integrity: { severity: "critical", raised: "Rows or files are not as they were left.", ends: "Nothing of the kind is found any more." },
  sealed: { severity: "critical", raised: "The vault sealed itself, because the holder of the master key is away.", ends: "It is unsealed." },
  kek_wear: { severity: "warning", raised: "A key-encryption key has wrapped half of what it may.", ends: "A fresh one wraps." },
  key_job_failed: { severity: "warning", raised: "Work on the key hierarchy was broken off.", ends: "Such work was done." },
};

export const rules: Rule[] = (Object.keys(wholly) as Kind[]).map((kind) => ({ kind, ...wholly[kind] }));
