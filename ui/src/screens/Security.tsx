// What keeps the house safe, a tab for each: the keys that seal, the seal itself, who may come from where, backups,
// operators, and one's own account with its sessions.

import { useParams } from "@tanstack/react-router";
import { type ComponentType, Suspense, lazy } from "react";
import { Empty, Loading, Page, Panel } from "../parts/basic";
import { Tabs } from "../parts/Tabs";
import { tabs } from "../router";
import { may, useWho } from "../session";

type Tab = (typeof tabs)[number];

// Each comes when it is looked at.
const Access = lazy(() => import("./security/Access").then(({ Access }) => ({ default: Access })));
const Backups = lazy(() => import("./security/Backups").then(({ Backups }) => ({ default: Backups })));
const Hierarchy = lazy(() => import("./security/Hierarchy").then(({ Hierarchy }) => ({ default: Hierarchy })));
const Operators = lazy(() => import("./security/Operators").then(({ Operators }) => ({ default: Operators })));
const Seal = lazy(() => import("./security/Seal").then(({ Seal }) => ({ default: Seal })));
const Sessions = lazy(() => import("./security/Sessions").then(({ Sessions }) => ({ default: Sessions })));

interface Shown {
  name: string;
  screen: ComponentType;
  forAdmins?: boolean;
}

const shown: Record<Tab, Shown> = {
  keys: { name: "Key hierarchy", screen: Hierarchy },
  seal: { name: "Seal", screen: Seal },
  access: { name: "Addresses and origins", screen: Access },
  backups: { name: "Backups", screen: Backups, forAdmins: true },
  operators: { name: "Operators", screen: Operators, forAdmins: true },
  sessions: { name: "Account and sessions", screen: Sessions },
};

export function Security() {
  const { tab = "keys" } = useParams({ strict: false }) as { tab?: string };
  const who = useWho();
  const here: Tab = tabs.find((one) => one === tab) ?? "keys";
  const { name, screen: Screen, forAdmins } = shown[here];
  const isFor = !forAdmins || may.administer(who.role);
  return (
    <Page title="Security" name={name}>
      <Tabs label="Security" to="/security/$tab" tabs={tabs.filter((one) => !shown[one].forAdmins || may.administer(who.role))} here={here} nameOf={(one) => shown[one].name} />
      {isFor ? <Suspense fallback={<Panel><Loading rows={4} /></Panel>}><Screen /></Suspense> : <Panel><Empty icon="lock" title="Not for this role">Administrators see it.</Empty></Panel>}
    </Page>
  );
}
