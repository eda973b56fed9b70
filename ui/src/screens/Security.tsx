// What keeps the house safe, a tab for each: the keys that seal, the seal itself, who may come from where, backups,
// operators, and one's own account with its sessions.

import { Link, useParams } from "@tanstack/react-router";
import { type ComponentType, Suspense, lazy } from "react";
import { Loading, Page } from "../parts/basic";
import { tabs } from "../router";
import { may, useWho } from "../session";

type Tab = (typeof tabs)[number];

interface Shown {
  name: string;
  screen: ComponentType;
  forAdmins?: boolean;
}

// Each tab comes when it is looked at.
const shown: Record<Tab, Shown> = {
  keys: { name: "Key hierarchy", screen: lazy(() => import("./security/Hierarchy").then(({ Hierarchy }) => ({ default: Hierarchy }))) },
  seal: { name: "Seal", screen: lazy(() => import("./security/Seal").then(({ Seal }) => ({ default: Seal }))) },
  access: { name: "Addresses and origins", screen: lazy(() => import("./security/Access").then(({ Access }) => ({ default: Access }))) },
  backups: { name: "Backups", screen: lazy(() => import("./security/Backups").then(({ Backups }) => ({ default: Backups }))), forAdmins: true },
  operators: { name: "Operators", screen: lazy(() => import("./security/Operators").then(({ Operators }) => ({ default: Operators }))), forAdmins: true },
  sessions: { name: "Account and sessions", screen: lazy(() => import("./security/Sessions").then(({ Sessions }) => ({ default: Sessions }))) },
};

export function Security() {
  const { tab = "keys" } = useParams({ strict: false }) as { tab?: string };
  const who = useWho();
  const here: Tab = tabs.find((one) => one === tab) ?? "keys";
  const { name, screen: Screen } = shown[here];
  return (
    <Page title="Security" name={name}>
      <nav className="tabs" aria-label="Security">
        {tabs.filter((one) => !shown[one].forAdmins || may.administer(who.role)).map((one) => (
          <Link key={one} to="/security/$tab" params={{ tab: one }} className={`tab ${one === here ? "tab-here" : ""}`} aria-current={one === here ? "page" : undefined}>{shown[one].name}</Link>
        ))}
      </nav>
      <Suspense fallback={<Loading />}><Screen /></Suspense>
    </Page>
  );
}
