// What somebody has to know of: what stands, what was, what raises an alert, and who is told.

import { useParams } from "@tanstack/react-router";
import { type ComponentType, Suspense, lazy } from "react";
import { Loading, Page, Panel } from "../parts/basic";
import { Tabs } from "../parts/Tabs";
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
      <Tabs label="Alerts" to="/alerts/$tab" tabs={alertTabs} here={here} nameOf={(one) => shown[one].name} />
      <Suspense fallback={<Panel><Loading rows={4} /></Panel>}><Screen /></Suspense>
    </Page>
  );
}
