// Client keys: who may call, how much, and when he last did.

import { SegmentedControl, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import type { Schemas } from "../api/client";
import { clientKeys } from "../api/queries";
import { number, plural } from "../format";
import { ButtonLink } from "../parts/links";
import { Icon } from "../icons";
import { Empty, Loaded, Mono, Page, Panel, Time } from "../parts/basic";
import { DataTable, type Column } from "../parts/DataTable";
import { keysRoute } from "../router";
import { may, useWho } from "../session";
import { Ends, StateOf } from "../parts/marks";

type ClientKey = Schemas["ClientKey"];

export function Keys() {
  const asked = useQuery(clientKeys);
  const { q, state } = keysRoute.useSearch();
  const go = useNavigate({ from: keysRoute.fullPath });
  const who = useWho();
  const columns: Column<ClientKey>[] = [
    { id: "name", head: "Name", sort: (row) => row.name.toLowerCase(), cell: (row) => <Link to="/keys/$id" params={{ id: row.id }} className="row-link">{row.name}</Link> },
    { id: "key", head: "Key", hide: "medium", cell: (row) => (row.key_preview ? <Mono>{row.key_preview}…</Mono> : <span className="faint">imported</span>) },
    { id: "state", head: "State", sort: (row) => row.state, cell: (row) => <StateOf of={row} /> },
    { id: "role", head: "Role", hide: "narrow", sort: (row) => row.role, cell: (row) => row.role },
    { id: "tier", head: "Tier", hide: "medium", sort: (row) => row.tier, cell: (row) => row.tier },
    { id: "calls", head: "Calls", hide: "narrow", align: "right", sort: (row) => row.request_count, cell: (row) => number(row.request_count) },
    { id: "used", head: "Last use", sort: (row) => row.last_used_at ?? "", cell: (row) => <Time at={row.last_used_at} as="relative" /> },
    { id: "ends", head: "Ends", hide: "medium", sort: (row) => row.expires_at ?? "9", cell: (row) => <Ends at={row.expires_at} /> },
  ];
  const add = may.operate(who.role) && <ButtonLink to="/keys/new" leftSection={<Icon name="plus" size={16} />}>New client key</ButtonLink>;
  return (
    <Page title="Client keys" about="What callers hold instead of a provider's key." actions={add}>
      <Loaded of={asked} what="Client keys">
        {(all) => {
          const wanted = q?.toLowerCase() ?? "";
          const rows = all.filter((row) => (!state || row.state === state) && `${row.name} ${row.owner ?? ""} ${row.key_preview ?? ""} ${row.role} ${row.tier}`.toLowerCase().includes(wanted));
          if (all.length === 0) return <Panel><Empty icon="key" title="No client key yet" action={add || undefined}>Callers need one to reach a provider.</Empty></Panel>;
          return (
            <Panel flush>
              <div className="toolbar">
                <TextInput aria-label="Search" placeholder="Search by name, owner, role" leftSection={<Icon name="search" size={16} />} value={q ?? ""} onChange={(event) => void go({ search: (before) => ({ ...before, q: event.target.value || undefined }), replace: true })} className="grow" />
                <SegmentedControl aria-label="State" size="xs" value={state ?? "all"} onChange={(value) => void go({ search: (before) => ({ ...before, state: value === "all" ? undefined : (value as ClientKey["state"]) }), replace: true })}
                  data={[{ value: "all", label: "All" }, { value: "active", label: "Active" }, { value: "revoked", label: "Revoked" }, { value: "expired", label: "Expired" }]} />
              </div>
              <DataTable label="Client keys" rows={rows} columns={columns} keyOf={(row) => row.id} first={{ id: "used", desc: true }} onRow={(row) => void go({ to: "/keys/$id", params: { id: row.id } })} none="No key fits what was searched for." />
              <p className="table-foot faint small">{plural(rows.length, "key")}</p>
            </Panel>
          );
        }}
      </Loaded>
    </Page>
  );
}
