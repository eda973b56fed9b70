// What somebody has to know of: what stands, what was, what raises an alert, and who is told.

import { Link, useParams } from "@tanstack/react-router";
import { type ComponentType, Suspense, lazy } from "react";
import { Loading, Page, Panel } from "../parts/basic";
import { alertTabs } from "../router";
import Standing from "./alerts/Standing";

type Tab = (typeof alertTabs)[number];

const shown: Record<Tab, { name: string; screen: ComponentType }> = {
  standing: { name: "Standing", screen: Standing },
  history: { name: "History", screen: lazy(() => import("./alerts/History")) },
  rules: { name: "Rules", screen: lazy(() => import("./alerts/Rules")) },
  destinations: { name: "Destinations", screen: lazy(() => import("./alerts/Destinations")) },
};

export function Alerts() {
  const { tab = "standing" } = useParams({ strict: false }) as { tab?: string };
  const here: Tab = alertTabs.find((one) => one === tab) ?? "standing";
  const { name, screen: Screen } = shown[here];
  return (
    <Page title="Alerts" name={here === "standing" ? "Alerts" : `${name} · Alerts`} about="One stands for each cause until that cause is gone; then it resolves by itself.">
      <nav className="tabs" aria-label="Alerts">
        {alertTabs.map((one) => (
          <Link key={one} to="/alerts/$tab" params={{ tab: one }} className={`tab ${one === here ? "tab-here" : ""}`} aria-current={one === here ? "page" : undefined}>{shown[one].name}</Link>
        ))}
      </nav>
      <Suspense fallback={<Panel><Loading rows={4} /></Panel>}><Screen /></Suspense>
    </Page>
  );
}
