// The frame around every screen: where one is, who one is, and whether the house is open.

import { ActionIcon, Menu, Tooltip, useComputedColorScheme, useMantineColorScheme } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link, Outlet, useNavigate, useRouterState } from "@tanstack/react-router";
import { Suspense, lazy, useEffect, useRef, useState } from "react";
import { alertsOf, ready } from "../api/queries";
import { sentence, zone } from "../format";
import { ButtonLink } from "../parts/links";
import { Icon, type IconName } from "../icons";
import mark from "../mark.svg";
import { type Operator, type Session, WhoProvider, may, signOut } from "../session";
import { Idle } from "./Idle";
import { StepUp } from "./StepUp";

const MenuDrawer = lazy(() => import("./MenuDrawer"));

interface Place {
  to: string;
  name: string;
  icon: IconName;
}

const places: { group: string; items: Place[] }[] = [
  { group: "", items: [{ to: "/", name: "Dashboard", icon: "home" }] },
  {
    group: "Providers",
    items: [
      { to: "/secrets", name: "Provider keys", icon: "vault" },
      { to: "/providers", name: "Catalogue", icon: "grid" },
      { to: "/market", name: "Market", icon: "candles" },
    ],
  },
  {
    group: "Callers",
    items: [
      { to: "/keys", name: "Client keys", icon: "key" },
      { to: "/usage", name: "Usage and cost", icon: "chart" },
    ],
  },
  {
    group: "House",
    items: [
      { to: "/alerts", name: "Alerts", icon: "bell" },
      { to: "/audit", name: "Audit", icon: "book" },
      { to: "/reports/hygiene", name: "Reports", icon: "sheet" },
      { to: "/security", name: "Security", icon: "shield" },
    ],
  },
];

export function ThemeSwitch() {
  const { setColorScheme } = useMantineColorScheme();
  const scheme = useComputedColorScheme("light");
  const next = scheme === "dark" ? "light" : "dark";
  return (
    <Tooltip label={`Use the ${next} scheme`}>
      <ActionIcon variant="subtle" color="gray" size="lg" onClick={() => setColorScheme(next)} aria-label={`Use the ${next} scheme`}>
        <Icon name={scheme === "dark" ? "sun" : "moon"} />
      </ActionIcon>
    </Tooltip>
  );
}

/** How many nobody has confirmed yet. */
function OpenAlerts() {
  const count = useQuery(alertsOf("open")).data?.length ?? 0;
  return count > 0 && <span className="place-count num">{count}<span className="hidden"> open</span></span>;
}

function Places({ onGo }: { onGo?: () => void }) {
  return (
    <nav aria-label="Main" className="places">
      {places.map(({ group, items }) => (
        <div key={group} className="places-group">
          {group && <p className="places-title">{group}</p>}
          {items.map((item) => (
            <Link key={item.to} to={item.to} onClick={onGo} activeOptions={{ exact: item.to === "/" }} className="place" activeProps={{ className: "place-here" }}>
              <Icon name={item.icon} />
              {item.name}
              {item.icon === "bell" && <OpenAlerts />}
            </Link>
          ))}
        </div>
      ))}
    </nav>
  );
}

function Account({ who, onGo }: { who: Operator; onGo?: () => void }) {
  const go = useNavigate();
  return (
    <div className="account">
      <Menu position="top-start" width={232}>
        <Menu.Target>
          <button type="button" className="account-button">
            <span className="avatar" aria-hidden="true">{who.name.slice(0, 1).toUpperCase()}</span>
            <span className="account-name">
              <span>{who.name}</span>
              <span className="faint small">{sentence(who.role)}</span>
            </span>
          </button>
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Label>Times are in {zone()}</Menu.Label>
          <Menu.Item component="a" href="/docs" target="_blank" leftSection={<Icon name="out" size={16} />}>API description</Menu.Item>
          <Menu.Item onClick={() => { onGo?.(); void go({ to: "/security/$tab", params: { tab: "sessions" } }); }} leftSection={<Icon name="people" size={16} />}>Your account and sessions</Menu.Item>
          <Menu.Divider />
          <Menu.Item onClick={() => void signOut()} leftSection={<Icon name="leave" size={16} />}>Sign out</Menu.Item>
        </Menu.Dropdown>
      </Menu>
      <ThemeSwitch />
    </div>
  );
}

function Banners({ who }: { who: Operator }) {
  const asked = useQuery(ready);
  const parts = asked.data?.parts ?? [];
  const isSealed = parts.some((part) => part.name === "vault" && !part.ready);
  const wrong = parts.filter((part) => !part.ready && part.name !== "vault");
  return (
    <>
      {asked.error && (
        <div className="banner banner-bad" role="status"><Icon name="warn" /><span>Sealgate does not answer. What you see is what it said last.</span></div>
      )}
      {isSealed && (
        <div className="banner banner-bad" role="status">
          <Icon name="lock" />
          <span><strong>Sealed.</strong> No provider is reached, and no key is in memory. The trail can be read.</span>
          {may.administer(who.role) && <ButtonLink to="/security/$tab" params={{ tab: "seal" }} size="xs" variant="white" color="dark">Unseal</ButtonLink>}
        </div>
      )}
      {!isSealed && wrong.map((part) => (
        <div key={part.name} className="banner banner-warn" role="status">
          <Icon name="warn" />
          <span><strong>{sentence(part.name)} is not ready.</strong> {part.detail}</span>
        </div>
      ))}
    </>
  );
}

export function Shell({ session }: { session: Session }) {
  const [opened, setOpened] = useState(false);
  const [wasOpened, setWasOpened] = useState(false);
  if (opened && !wasOpened) setWasOpened(true);
  const main = useRef<HTMLElement>(null);
  const path = useRouterState({ select: (state) => state.location.pathname });
  const seen = useRef(path);
  const who = session.operator;

  // Whoever reads by ear, or goes by keyboard, begins each screen at its top.
  useEffect(() => {
    if (seen.current === path) return;
    seen.current = path;
    main.current?.focus({ preventScroll: true });
    window.scrollTo(0, 0);
  }, [path]);

  if (!who) return null;
  return (
    <WhoProvider value={who}>
      <a className="skip" href="#main" onClick={(event) => { event.preventDefault(); main.current?.focus(); }}>Skip to the content</a>
      <div className="shell">
        <aside className="side">
          <Link to="/" className="brand"><img src={mark} alt="" width={26} height={26} />Sealgate</Link>
          <Places />
          <Account who={who} />
        </aside>
        <header className="top">
          <ActionIcon variant="subtle" color="gray" size="lg" onClick={() => setOpened(true)} aria-label="Open the menu"><Icon name="menu" size={20} /></ActionIcon>
          <Link to="/" className="brand"><img src={mark} alt="" width={24} height={24} />Sealgate</Link>
          <ThemeSwitch />
        </header>
        {wasOpened && (
          <Suspense>
            <MenuDrawer opened={opened} onClose={() => setOpened(false)}>
              <Places onGo={() => setOpened(false)} />
              <Account who={who} onGo={() => setOpened(false)} />
            </MenuDrawer>
          </Suspense>
        )}
        <main id="main" ref={main} tabIndex={-1} className="main">
          <Banners who={who} />
          <Outlet />
        </main>
      </div>
      <StepUp />
      <Idle session={session} />
    </WhoProvider>
  );
}
