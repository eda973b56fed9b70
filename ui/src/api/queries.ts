// What the screens ask for, each under its name, so that a change can say what it has made stale.

import { QueryClient, infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { Refused, api, ask, send } from "./client";

export const queries = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 10_000,
      refetchOnWindowFocus: true,
      retry: (count, fault) => fault instanceof Refused && (fault.status === 0 || fault.status >= 502) && fault.code !== "sealed" && count < 2,
    },
  },
});

const most = { limit: 1000 } as const;

/** All pages of a list. */
async function whole<T>(page: (cursor: string | undefined) => Promise<{ items: T[]; next_cursor?: string | null }>): Promise<T[]> {
  const items: T[] = [];
  let cursor: string | undefined;
  do {
    const read = await page(cursor);
    items.push(...read.items);
    cursor = read.next_cursor ?? undefined;
  } while (cursor && items.length < 20_000);
  return items;
}

export const ready = queryOptions({
  queryKey: ["ready"],
  refetchInterval: 10_000,
  queryFn: async () => {
    const response = await fetch("/readyz").catch(() => {
      throw Refused.unreached();
    });
    return (await response.json()) as import("./client").Schemas["Ready"];
  },
});

export const providers = queryOptions({
  queryKey: ["providers"],
  staleTime: 60_000,
  queryFn: () => whole((cursor) => ask(() => api.GET("/api/v1/admin/providers", { params: { query: { ...most, cursor } } }))),
});

export const secrets = queryOptions({
  queryKey: ["secrets"],
  refetchInterval: 15_000,
  queryFn: () => whole((cursor) => ask(() => api.GET("/api/v1/admin/secrets", { params: { query: { ...most, cursor } } }))),
});

export const secret = (id: string) =>
  queryOptions({
    queryKey: ["secrets", id],
    refetchInterval: 10_000,
    queryFn: () => ask(() => api.GET("/api/v1/admin/secrets/{id}", { params: { path: { id } } })),
  });

export const checks = (id: string) =>
  queryOptions({
    queryKey: ["secrets", id, "checks"],
    queryFn: () => ask(() => api.GET("/api/v1/admin/secrets/{id}/checks", { params: { path: { id }, query: { limit: 50 } } })),
  });

export const clientKeys = queryOptions({
  queryKey: ["keys"],
  refetchInterval: 15_000,
  queryFn: () => whole((cursor) => ask(() => api.GET("/api/v1/admin/api-keys", { params: { query: { ...most, cursor } } }))),
});

export const clientKey = (id: string) =>
  queryOptions({
    queryKey: ["keys", id],
    refetchInterval: 10_000,
    queryFn: () => ask(() => api.GET("/api/v1/admin/api-keys/{id}", { params: { path: { id } } })),
  });

export const keyTrail = (id: string) =>
  queryOptions({
    queryKey: ["keys", id, "trail"],
    refetchInterval: 10_000,
    queryFn: () => ask(() => api.GET("/api/v1/admin/api-keys/{id}/audit", { params: { path: { id }, query: { limit: 50 } } })),
  });

export interface UsageAsked {
  from: string;
  to?: string | undefined;
  bucket: "minute" | "hour" | "day";
  group_by?: "provider" | "secret" | "client" | "status" | undefined;
}

export const usage = (asked: UsageAsked, every: number | false = 15_000) =>
  queryOptions({
    queryKey: ["usage", asked],
    refetchInterval: every,
    queryFn: () => ask(() => api.GET("/api/v1/admin/usage", { params: { query: asked } })),
  });

export interface TrailAsked {
  kind?: "usage" | "access" | "change" | "security" | undefined;
  actor?: string | undefined;
  provider?: string | undefined;
  secret?: string | undefined;
  status?: number | undefined;
  from?: string | undefined;
  to?: string | undefined;
  request_id?: string | undefined;
}

export const trail = (asked: TrailAsked) =>
  infiniteQueryOptions({
    queryKey: ["trail", asked],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam }) =>
      ask(() => api.GET("/api/v1/admin/audit", { params: { query: { ...asked, limit: 100, cursor: pageParam } } })),
    getNextPageParam: (page) => page.next_cursor ?? undefined,
  });

export const keks = queryOptions({
  queryKey: ["keks"],
  refetchInterval: (query) => (query.state.data?.job?.state === "running" ? 1_000 : 30_000),
  queryFn: () => ask(() => api.GET("/api/v1/admin/keks", {})),
});

export const backups = queryOptions({
  queryKey: ["backups"],
  refetchInterval: (query) => (query.state.data?.making.length ? 1_000 : 60_000),
  queryFn: () => ask(() => api.GET("/api/v1/admin/backups", {})),
});

export const integrity = queryOptions({
  queryKey: ["integrity"],
  queryFn: () => ask(() => api.GET("/api/v1/admin/integrity", {})),
});

export const operators = queryOptions({
  queryKey: ["operators"],
  queryFn: () => whole((cursor) => ask(() => api.GET("/api/v1/admin/operators", { params: { query: { ...most, cursor } } }))),
});

export const sessions = (ofAll: boolean) =>
  queryOptions({
    queryKey: ["sessions", ofAll],
    queryFn: () => whole((cursor) => ask(() => api.GET("/api/v1/admin/sessions", { params: { query: { ...most, cursor, ...(ofAll ? { operator: "all" } : {}) } } }))),
  });

const isOpen = (state: string) => state === "pending" || state === "in_progress";

export const symbols = queryOptions({
  queryKey: ["symbols"],
  refetchInterval: 15_000,
  queryFn: () => whole((cursor) => ask(() => api.GET("/api/v1/admin/symbols", { params: { query: { ...most, cursor } } }))),
});

export const symbol = (name: string) =>
  queryOptions({
    queryKey: ["symbols", name],
    refetchInterval: (query) => (query.state.data && isOpen(query.state.data.backfill_status) ? 2_000 : 15_000),
    queryFn: () => ask(() => api.GET("/api/v1/admin/symbols/{symbol}", { params: { path: { symbol: name } } })),
  });

export interface CandlesAsked {
  symbol: string;
  interval: "1m" | "5m" | "15m" | "1h" | "1d";
  from: string;
  to: string;
}

export const candles = ({ symbol, ...asked }: CandlesAsked) =>
  queryOptions({
    queryKey: ["symbols", symbol, "candles", asked],
    staleTime: 60_000,
    queryFn: () => ask(() => api.GET("/api/v1/admin/symbols/{symbol}/candles", { params: { path: { symbol }, query: { ...asked, limit: 1000 } } })),
  });

export const runs = queryOptions({
  queryKey: ["runs"],
  refetchInterval: (query) => (query.state.data?.items.some((run) => isOpen(run.state)) ? 2_000 : 15_000),
  queryFn: () => ask(() => api.GET("/api/v1/admin/backfill", { params: { query: { limit: 12 } } })),
});

export const run = (id: string) =>
  queryOptions({
    queryKey: ["runs", id],
    refetchInterval: (query) => (query.state.data && isOpen(query.state.data.state) ? 1_500 : false),
    queryFn: () => ask(() => api.GET("/api/v1/admin/backfill/{id}", { params: { path: { id } } })),
  });

export const alertsOf = (state: "open" | "acknowledged") =>
  queryOptions({
    queryKey: ["alerts", state],
    refetchInterval: 15_000,
    queryFn: () => whole((cursor) => ask(() => api.GET("/api/v1/admin/alerts", { params: { query: { ...most, state, cursor } } }))),
  });

/** What a report may hold. */
export type Told = string | number | boolean | null | Told[] | { [name: string]: Told };

export interface Finding {
  kind: string;
  severity: "critical" | "warning" | "info";
  subject: { type: string; id: string; name: string };
  provider: string | null;
  since: string | null;
  detail: string;
  cost: number | null;
  remedy: { what: string; command: string | null; method: string | null; path: string | null; body: Told } | null;
}

export interface MadeReport {
  made_at: string;
  from: string;
  to: string;
  summary: { [name: string]: Told };
  [section: string]: Told | Finding[];
}

export interface ReportAsked {
  days: number;
  client: string | undefined;
  provider: string | undefined;
}

/** Whole minutes, so that it is the same address for a while. */
export function addressOfReport(kind: string, { days, client, provider }: ReportAsked, format?: string): string {
  const minute = Math.floor(Date.now() / 60_000) * 60_000;
  const query = new URLSearchParams({ from: new Date(minute - days * 86_400_000).toISOString() });
  for (const [name, value] of Object.entries({ client, provider, format })) if (value) query.set(name, value);
  return `/api/v1/admin/reports/${kind}?${query}`;
}

export const report = (kind: string, asked: ReportAsked) =>
  queryOptions({ queryKey: ["report", kind, asked], staleTime: 60_000, queryFn: () => send<MadeReport>("GET", addressOfReport(kind, asked)) });
