// How a key stands, in a word or two.

import type { Schemas } from "../api/client";
import { change, percent } from "../format";
import { Status, Time, toneOf } from "./basic";

type Secret = Schemas["Secret"];
type ClientKey = Schemas["ClientKey"];

export const lastUse = (secret: Secret) => secret.versions.map((version) => version.last_used_at ?? "").sort().at(-1) || null;

export function HealthOf({ secret }: { secret: Secret }) {
  if (!secret.active) return <Status tone="quiet">disabled</Status>;
  if (!secret.usable) return <Status tone="bad" title={secret.fault ?? undefined}>not usable</Status>;
  return <Status tone={toneOf(secret.health)} title={secret.health_detail ?? undefined}>{secret.health}</Status>;
}

const places = { serving: "good", cooling: "info", quarantined: "bad", drained: "quiet" } as const;
const placed = { serving: "takes calls", cooling: "waits for the provider", quarantined: "in quarantine", drained: "set aside" } as const;

/** Where a key stands beside the others of its provider. */
export function PlaceOf({ place }: { place: NonNullable<Secret["pool"]> }) {
  const state = place.state as keyof typeof places;
  return <Status tone={places[state] ?? "quiet"}>{placed[state] ?? place.state}</Status>;
}

export function Ends({ at }: { at: string | null | undefined }) {
  if (!at) return <span className="faint">never</span>;
  const days = (new Date(at).getTime() - Date.now()) / 86_400_000;
  return <span className={days < 0 ? "text-bad" : days < 7 ? "text-bad" : days < 30 ? "text-warn" : ""}><Time at={at} as={days < 45 ? "relative" : "day"} /></span>;
}

export function Moved({ now, before, worse }: { now: number; before: number; worse?: boolean }) {
  const moved = change(now, before);
  if (moved === null) return <span className="moved faint">{now === 0 ? "as before" : "none before"}</span>;
  const isBad = worse ? moved > 0.05 : false;
  return <span className={`moved ${isBad ? "text-bad" : "faint"}`}>{moved === 0 ? "as before" : `${moved > 0 ? "+" : "−"}${percent(Math.abs(moved))} against before`}</span>;
}

/** Of a client key. */
export const StateOf = ({ of }: { of: ClientKey }) =>
  of.state === "active" && !of.usable ? <Status tone="bad" title={of.fault ?? undefined}>not usable</Status> : <Status tone={toneOf(of.state)}>{of.state}</Status>;
