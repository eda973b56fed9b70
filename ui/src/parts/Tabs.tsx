// A row of tabs, each with an address of its own. On a narrow screen the one that is shown is brought into view.

import { Link } from "@tanstack/react-router";
import { useEffect, useRef } from "react";

interface Props<Tab extends string> {
  label: string;
  to: "/security/$tab" | "/alerts/$tab" | "/reports/$kind";
  /** Of the part of the address that says which. */
  name?: string;
  tabs: readonly Tab[];
  here: Tab;
  nameOf: (tab: Tab) => string;
}

export function Tabs<Tab extends string>({ label, to, name = "tab", tabs, here, nameOf }: Props<Tab>) {
  const row = useRef<HTMLElement>(null);
  useEffect(() => {
    const all = row.current;
    if (!all) return;
    const bring = () => {
      const shown = all.querySelector<HTMLElement>("[aria-current]");
      if (shown) all.scrollLeft = shown.offsetLeft - (all.clientWidth - shown.offsetWidth) / 2;
    };
    // At once, and whenever there is more room or less.
    const watch = new ResizeObserver(bring);
    watch.observe(all);
    return () => watch.disconnect();
  }, [here]);
  return (
    <nav className="tabs" aria-label={label} ref={row}>
      {tabs.map((one) => (
        <Link key={one} to={to} params={{ [name]: one } as never} className={`tab ${one === here ? "tab-here" : ""}`} aria-current={one === here ? "page" : undefined}>{nameOf(one)}</Link>
      ))}
    </nav>
  );
}
