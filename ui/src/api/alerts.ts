// What the screens of alerts ask for.

import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { type Schemas, api, ask } from "./client";
import { queries } from "./queries";

export type Alert = Schemas["Alert"];
export type Destination = Schemas["AlertDestination"];
export type Delivery = Schemas["AlertDelivery"];
export type AlertKind = Schemas["AlertKind"];

const PAGE = 50;

export const refresh = () => queries.invalidateQueries({ queryKey: ["alerts"] });

export const pastAlerts = (kind: AlertKind | undefined) =>
  infiniteQueryOptions({
    queryKey: ["alerts", "resolved", kind],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam }) => ask(() => api.GET("/api/v1/admin/alerts", { params: { query: { state: "resolved", kind, limit: PAGE, cursor: pageParam } } })),
    getNextPageParam: (last) => last.next_cursor ?? undefined,
  });

export const destinations = queryOptions({
  queryKey: ["alerts", "destinations"],
  queryFn: async () => (await ask(() => api.GET("/api/v1/admin/alert-destinations", { params: { query: { limit: 1000 } } }))).items,
});

export const deliveries = (state: Delivery["state"] | undefined) =>
  infiniteQueryOptions({
    queryKey: ["alerts", "deliveries", state],
    initialPageParam: undefined as string | undefined,
    refetchInterval: 5_000,
    queryFn: ({ pageParam }) => ask(() => api.GET("/api/v1/admin/alert-deliveries", { params: { query: { state, limit: PAGE, cursor: pageParam } } })),
    getNextPageParam: (last) => last.next_cursor ?? undefined,
  });
