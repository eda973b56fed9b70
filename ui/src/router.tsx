// Every address of the console. What a screen shows stands in its address, so that it can be kept and sent.

import { Outlet, createRootRoute, createRoute, createRouter, lazyRouteComponent } from "@tanstack/react-router";
import { Broken, Gate, Lost } from "./shell/Gate";

const text = (value: unknown): string | undefined => (value === undefined || value === null || value === "" ? undefined : String(value));
/** A moment that there may be records of; anything else is as if it were not there. */
const when = (value: unknown): string | undefined => {
  const at = new Date(String(value ?? ""));
  return at.getTime() >= Date.UTC(2000) && at.getTime() < Date.UTC(2100) ? at.toISOString() : undefined;
};
const oneOf = <T extends string>(value: unknown, words: readonly T[]): T | undefined => words.find((word) => word === value);

const root = createRootRoute({ component: Outlet, notFoundComponent: Lost });
const house = createRoute({ getParentRoute: () => root, id: "house", component: Gate, notFoundComponent: Lost });

const at = <P extends string>(path: P, load: () => Promise<Record<string, React.ComponentType>>, name: string) =>
  createRoute({ getParentRoute: () => house, path, component: lazyRouteComponent(load as never, name as never) });

const dashboard = at("/", () => import("./screens/Dashboard"), "Dashboard");

const healths = ["healthy", "degraded", "refused", "unknown"] as const;
export const secretsRoute = createRoute({
  getParentRoute: () => house,
  path: "/secrets",
  validateSearch: (search): { q?: string | undefined; health?: (typeof healths)[number] | undefined } => ({ q: text(search["q"]), health: oneOf(search["health"], healths) }),
  component: lazyRouteComponent(() => import("./screens/Secrets"), "Secrets"),
});
export const addRoute = createRoute({
  getParentRoute: () => house,
  path: "/secrets/new",
  validateSearch: (search): { provider?: string | undefined } => ({ provider: text(search["provider"]) }),
  component: lazyRouteComponent(() => import("./screens/AddSecret"), "AddSecret"),
});
export const secretRoute = at("/secrets/$id", () => import("./screens/Secret"), "Secret");

export const providersRoute = createRoute({
  getParentRoute: () => house,
  path: "/providers",
  validateSearch: (search): { q?: string | undefined; category?: string | undefined } => ({ q: text(search["q"]), category: text(search["category"]) }),
  component: lazyRouteComponent(() => import("./screens/Catalogue"), "Catalogue"),
});
export const providerRoute = at("/providers/$id", () => import("./screens/Provider"), "Provider");

const states = ["active", "revoked", "expired"] as const;
export const keysRoute = createRoute({
  getParentRoute: () => house,
  path: "/keys",
  validateSearch: (search): { q?: string | undefined; state?: (typeof states)[number] | undefined } => ({ q: text(search["q"]), state: oneOf(search["state"], states) }),
  component: lazyRouteComponent(() => import("./screens/Keys"), "Keys"),
});
export const newKeyRoute = createRoute({
  getParentRoute: () => house,
  path: "/keys/new",
  validateSearch: (search): { provider?: string | undefined } => ({ provider: text(search["provider"]) }),
  component: lazyRouteComponent(() => import("./screens/NewKey"), "NewKey"),
});
export const keyRoute = at("/keys/$id", () => import("./screens/Key"), "Key");

export const marketRoute = createRoute({
  getParentRoute: () => house,
  path: "/market",
  validateSearch: (search): { q?: string | undefined } => ({ q: text(search["q"]) }),
  component: lazyRouteComponent(() => import("./screens/Market"), "Market"),
});
export const spansOfCandles = ["1m", "5m", "15m", "1h", "1d"] as const;
export const symbolRoute = createRoute({
  getParentRoute: () => house,
  path: "/market/$symbol",
  validateSearch: (search): { interval?: (typeof spansOfCandles)[number] | undefined; to?: string | undefined } => ({ interval: oneOf(search["interval"], spansOfCandles), to: text(search["to"]) }),
  component: lazyRouteComponent(() => import("./screens/Symbol"), "Symbol"),
});
export const runRoute = at("/market/runs/$id", () => import("./screens/Run"), "Run");

export const ranges = ["1h", "24h", "7d", "30d", "90d", "custom"] as const;
export const groups = ["provider", "client", "secret", "status"] as const;
interface UsageSearch {
  range?: (typeof ranges)[number] | undefined;
  by?: (typeof groups)[number] | undefined;
  from?: string | undefined;
  to?: string | undefined;
  only?: string | undefined;
}
export const usageRoute = createRoute({
  getParentRoute: () => house,
  path: "/usage",
  validateSearch: (search): UsageSearch => ({
    range: oneOf(search["range"], ranges),
    by: oneOf(search["by"], groups),
    from: when(search["from"]),
    to: when(search["to"]),
    only: text(search["only"]),
  }),
  component: lazyRouteComponent(() => import("./screens/Usage"), "Usage"),
});

export const kinds = ["usage", "access", "change", "security"] as const;
interface AuditSearch {
  kind?: (typeof kinds)[number] | undefined;
  actor?: string | undefined;
  provider?: string | undefined;
  secret?: string | undefined;
  status?: string | undefined;
  request_id?: string | undefined;
  from?: string | undefined;
  to?: string | undefined;
  record?: string | undefined;
  live?: boolean | undefined;
}
export const auditRoute = createRoute({
  getParentRoute: () => house,
  path: "/audit",
  validateSearch: (search): AuditSearch => ({
    kind: oneOf(search["kind"], kinds),
    actor: text(search["actor"]),
    provider: text(search["provider"]),
    secret: text(search["secret"]),
    status: text(search["status"]),
    request_id: text(search["request_id"]),
    from: when(search["from"]),
    to: when(search["to"]),
    record: text(search["record"]),
    live: search["live"] === true || search["live"] === "true" ? true : undefined,
  }),
  component: lazyRouteComponent(() => import("./screens/Audit"), "Audit"),
});

export const kindsOfReports = ["hygiene", "usage", "security"] as const;
export const daysOfReports = [1, 7, 30, 90, 365] as const;
interface ReportSearch {
  days?: (typeof daysOfReports)[number] | undefined;
  client?: string | undefined;
  provider?: string | undefined;
}
export const reportRoute = createRoute({
  getParentRoute: () => house,
  path: "/reports/$kind",
  validateSearch: (search): ReportSearch => ({
    days: daysOfReports.find((days) => String(days) === String(search["days"])),
    client: text(search["client"]),
    provider: text(search["provider"]),
  }),
  component: lazyRouteComponent(() => import("./screens/Reports"), "Reports"),
});

export const alertTabs = ["standing", "history", "rules", "destinations"] as const;
const alerts = at("/alerts", () => import("./screens/Alerts"), "Alerts");
const alertsTab = createRoute({
  getParentRoute: () => house,
  path: "/alerts/$tab",
  validateSearch: (search): { kind?: string | undefined } => ({ kind: text(search["kind"]) }),
  component: lazyRouteComponent(() => import("./screens/Alerts"), "Alerts"),
});

export const tabs = ["keys", "seal", "access", "backups", "operators", "sessions"] as const;
const security = at("/security", () => import("./screens/Security"), "Security");
export const securityRoute = at("/security/$tab", () => import("./screens/Security"), "Security");

export const invitationRoute = createRoute({
  getParentRoute: () => root,
  path: "/invitation",
  component: lazyRouteComponent(() => import("./screens/Invitation"), "Invitation"),
});

const tree = root.addChildren([
  invitationRoute,
  house.addChildren([
    dashboard, secretsRoute, addRoute, secretRoute, providersRoute, providerRoute, keysRoute, newKeyRoute, keyRoute,
    marketRoute, runRoute, symbolRoute, usageRoute, auditRoute, reportRoute, alerts, alertsTab, security, securityRoute,
  ]),
]);

export const router = createRouter({
  routeTree: tree,
  basepath: "/console",
  defaultPreload: "intent",
  defaultErrorComponent: Broken,
  scrollRestoration: false,
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
