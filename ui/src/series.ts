// Sums over time, made even: every bucket of a range has its place, the empty ones too.

import type { Schemas } from "./api/client";
import { local } from "./format";

type Usage = Schemas["Usage"];

export type Bucket = "minute" | "hour" | "day";
export const lengths: Record<Bucket, number> = { minute: 60_000, hour: 3_600_000, day: 86_400_000 };

export interface Sum {
  requests: number;
  client: number;
  provider: number;
  us: number;
  bytes_in: number;
  bytes_out: number;
  tokens: number;
  cost: number;
  unpriced: number;
}

export const nothing = (): Sum => ({ requests: 0, client: 0, provider: 0, us: 0, bytes_in: 0, bytes_out: 0, tokens: 0, cost: 0, unpriced: 0 });

export function add(sum: Sum, row: Usage): Sum {
  sum.requests += row.requests;
  sum.client += row.errors.client;
  sum.provider += row.errors.provider;
  sum.us += row.errors.us;
  sum.bytes_in += row.bytes_in;
  sum.bytes_out += row.bytes_out;
  sum.tokens += row.tokens_in + row.tokens_out;
  sum.cost += row.cost;
  sum.unpriced += row.unpriced;
  return sum;
}

export const total = (rows: Usage[]) => rows.reduce(add, nothing());
export const failed = (sum: Sum) => sum.client + sum.provider + sum.us;

export function byGroup(rows: Usage[]): Map<string, Sum> {
  const groups = new Map<string, Sum>();
  for (const row of rows) {
    const group = row.group ?? "";
    groups.set(group, add(groups.get(group) ?? nothing(), row));
  }
  return groups;
}

/** The beginnings of all buckets of a range, oldest first. */
export function places(from: number, to: number, bucket: Bucket): number[] {
  const length = lengths[bucket];
  const first = Math.floor(from / length) * length;
  return Array.from({ length: Math.max(0, Math.ceil((to - first) / length)) }, (_, at) => first + at * length);
}

export const within = (rows: Usage[], from: number, to: number) =>
  rows.filter((row) => {
    const at = new Date(row.bucket).getTime();
    return at >= from && at < to;
  });

export const nameOf = (at: number, bucket: Bucket, long: boolean) => (bucket === "day" ? local(at, "day").replace(/,? \d{4}$/, "") : long ? local(at, "minute") : local(at, "hour"));
