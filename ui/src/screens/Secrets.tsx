// The keys of providers: whether each is good, what it is used for, and what ends soon.

import { SegmentedControl, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { providers, secrets } from "../api/queries";
import type { Schemas } from "../api/client";
import { plural } from "../format";
import { ButtonLink } from "../parts/links";
import { Icon } from "../icons";
import { Empty, Loaded, Page, Panel, Time } from "../parts/basic";
import { DataTable, type Column } from "../parts/DataTable";
import { Ends, HealthOf, PlaceOf, lastUse } from "../parts/marks";
import { secretsRoute } from "../router";
import { may, useWho } from "../session";

type Secret = Schemas["Secret"];

export function Secrets() {
  const asked = useQuery(secrets);
  const catalogue = useQuery(providers);
  const { q, health } = secretsRoute.useSearch();
  const go = useNavigate({ from: secretsRoute.fullPath });
  const who = useWho();
  const titleOf = (id: string) => catalogue.data?.find((provider) => provider.id === id)?.title ?? id;

  const columns: Column<Secret>[] = [
    {
      id: "provider", head: "Provider", sort: (row) => titleOf(row.provider).toLowerCase(),
      cell: (row) => <Link to="/secrets/$id" params={{ id: row.id }} className="row-link">{titleOf(row.provider)}</Link>,
    },
    { id: "name", head: "Name", sort: (row) => row.name, cell: (row) => <span className="muted">{row.name}</span> },
    { id: "health", head: "Health", sort: (row) => `${row.active ? 0 : 1}${row.health}`, cell: (row) => <><HealthOf secret={row} />{row.pool && row.pool.state !== "serving" && <span className="only-narrow"><PlaceOf place={row.pool} /></span>}</> },
    ...(asked.data?.some((row) => row.pool) ? [{ id: "pool", head: "Pool", hide: "narrow" as const, sort: (row: Secret) => row.pool?.state ?? "", cell: (row: Secret) => (row.pool ? <span className="row-tight"><PlaceOf place={row.pool} />{row.pool.weight > 1 && <span className="faint small num">× {row.pool.weight}</span>}</span> : <span className="faint">–</span>) }] : []),
    { id: "version", head: "Version", hide: "medium", align: "right", sort: (row) => row.version ?? 0, cell: (row) => (row.version ? `v${row.version}` : "–") },
    { id: "used", head: "Last use", hide: "narrow", sort: (row) => lastUse(row) ?? "", cell: (row) => <Time at={lastUse(row)} as="relative" /> },
    { id: "checked", head: "Checked", hide: "medium", sort: (row) => row.checked_at ?? "", cell: (row) => <Time at={row.checked_at} as="relative" /> },
    { id: "ends", head: "Ends", hide: "narrow", sort: (row) => row.expires_at ?? "9", cell: (row) => <Ends at={row.expires_at} /> },
    { id: "owner", head: "Owner", hide: "medium", sort: (row) => row.owner ?? "", cell: (row) => row.owner ?? <span className="faint">–</span> },
  ];
  const add = may.operate(who.role) && <ButtonLink to="/secrets/new" leftSection={<Icon name="plus" size={16} />}>Add a key</ButtonLink>;
  return (
    <Page title="Provider keys" about="Entered once, sealed, and never shown again." actions={add}>
      <Loaded of={asked} what="Provider keys">
        {(all) => {
          const wanted = q?.toLowerCase() ?? "";
          const rows = all.filter((row) => (!health || (row.health === health && row.active)) && [row.provider, titleOf(row.provider), row.name, row.owner ?? ""].some((text) => text.toLowerCase().includes(wanted)));
          if (all.length === 0) {
            return (
              <Panel>
                <Empty icon="vault" title="No provider key yet" action={add || undefined}>Add the key that a provider sold you. It is checked with the provider before it is stored.</Empty>
              </Panel>
            );
          }
          return (
            <Panel flush>
              <div className="toolbar">
                <TextInput aria-label="Search" placeholder="Search" leftSection={<Icon name="search" size={16} />} value={q ?? ""} onChange={(event) => void go({ search: (before) => ({ ...before, q: event.target.value || undefined }), replace: true })} className="grow" />
                <SegmentedControl aria-label="Health" size="xs" value={health ?? "all"} onChange={(value) => void go({ search: (before) => ({ ...before, health: value === "all" ? undefined : (value as Secret["health"]) }), replace: true })}
                  data={[{ value: "all", label: "All" }, { value: "healthy", label: "Healthy" }, { value: "degraded", label: "Degraded" }, { value: "refused", label: "Refused" }, { value: "unknown", label: "Unknown" }]} />
              </div>
              <DataTable label="Provider keys" rows={rows} columns={columns} keyOf={(row) => row.id} first={{ id: "provider" }}
                onRow={(row) => void go({ to: "/secrets/$id", params: { id: row.id } })} none="No key fits what was searched for." />
              <p className="table-foot faint small">{plural(rows.length, "key")}</p>
            </Panel>
          );
        }}
      </Loaded>
    </Page>
  );
}
