// Who may come from where: the addresses and the pages that client keys are bound to, and the keys that are bound to none.

import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { Schemas } from "../../api/client";
import { clientKeys } from "../../api/queries";
import { plural } from "../../format";
import { Empty, Loaded, Mono, Panel, Tag } from "../../parts/basic";
import { DataTable, type Column } from "../../parts/DataTable";
import { StateOf } from "../../parts/marks";

type Key = Schemas["ClientKey"];

const shownMost = 4;
function List({ items, none }: { items: string[] | null | undefined; none: string }) {
  if (!items) return <span className="faint">{none}</span>;
  if (items.length === 0) return <span>nowhere</span>;
  return <span className="row-wrap">{items.slice(0, shownMost).map((one) => <Tag key={one}>{one}</Tag>)}{items.length > shownMost && <span className="faint small">and {items.length - shownMost} more</span>}</span>;
}

export function Access() {
  const asked = useQuery(clientKeys);
  const columns: Column<Key>[] = [
    { id: "name", head: "Client key", sort: (row) => row.name, cell: (row) => <Link to="/keys/$id" params={{ id: row.id }} className="row-link">{row.name}</Link> },
    { id: "role", head: "Role", hide: "medium", sort: (row) => row.role, cell: (row) => row.role },
    { id: "state", head: "State", hide: "narrow", cell: (row) => <StateOf of={row} /> },
    { id: "ips", head: "Addresses", cell: (row) => <List items={row.allowed_ips} none="from anywhere" /> },
    { id: "origins", head: "Pages", cell: (row) => <List items={row.allowed_origins} none="–" /> },
  ];
  return (
    <Loaded of={asked} what="Client keys">
      {(keys) => {
        const live = keys.filter((key) => key.state === "active");
        const bound = live.filter((key) => key.allowed_ips || key.allowed_origins);
        const mighty = live.filter((key) => key.role === "admin" && !key.allowed_ips);
        return (
          <div className="stack">
            {mighty.length > 0 && (
              <div className="banner banner-warn" role="status">
                <span><strong>{plural(mighty.length, "admin key")} may be used from anywhere.</strong> {mighty.slice(0, 3).map((key, at) => <span key={key.id}>{at > 0 && ", "}<Link to="/keys/$id" params={{ id: key.id }}>{key.name}</Link></span>)}{mighty.length > 3 && ` and ${mighty.length - 3} more`}: a list of addresses keeps a stolen one from being of use elsewhere.</span>
              </div>
            )}
            <Panel title="Bound client keys" about={`${plural(bound.length, "key")} of ${live.length} in force may come from some addresses or pages alone.`} flush>
              {bound.length === 0 ? <Empty icon="shield" title="No key is bound">Open a client key and edit its addresses, or the origins of the pages that hold it.</Empty> : <DataTable label="Bound client keys" rows={bound} columns={columns} keyOf={(row) => row.id} first={{ id: "name" }} />}
            </Panel>
            <p className="muted small">Pages that call without any key, and what they may read, stand in the settings under <Mono>[browser]</Mono>; pages that may show this console in a frame under <Mono>admin.frame_ancestors</Mono>.</p>
          </div>
        );
      }}
    </Loaded>
  );
}
