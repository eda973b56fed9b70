// Who is told of alerts, by which way, and what came of it.

import { Button, Menu } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Suspense, lazy, useState } from "react";
import { type Destination, destinations, refresh } from "../../api/alerts";
import { type Schemas, api, ask } from "../../api/client";
import { plural } from "../../format";
import { Icon } from "../../icons";
import { nameOfKind } from "../../parts/alerts";
import { Empty, Loaded, Panel, Status, told } from "../../parts/basic";
import { Confirm } from "../../parts/confirm";
import { DataTable, type Column } from "../../parts/DataTable";
import { may, useWho } from "../../session";
import { Deliveries } from "./Deliveries";

const Edit = lazy(() => import("./Edit"));
const Made = lazy(() => import("./Made"));

type Tested = Schemas["TestOfDestination"];

const ways = { webhook: "Webhook", email: "E-mail", syslog: "Syslog" } as const;
const placeOf = ({ kind, address, to }: Destination) => (kind === "email" ? (to ?? []).join(", ") : kind === "webhook" ? address : "where the settings say");

function Narrowed({ of: { kinds, min_severity, resolved } }: { of: Destination }) {
  const what = kinds === null || kinds === undefined ? "every kind" : kinds.length === 1 && kinds[0] ? nameOfKind(kinds[0]) : plural(kinds.length, "kind");
  return <span title={kinds?.map(nameOfKind).join(", ")}>{what}{min_severity && min_severity !== "info" && `, from ${min_severity} on`}{resolved === false && <span className="faint">, not that it is over</span>}</span>;
}

export default function Destinations() {
  const asked = useQuery(destinations);
  const who = useWho();
  const mayAct = may.operate(who.role);
  const [editing, setEditing] = useState<Destination | "new" | null>(null);
  const [removing, setRemoving] = useState<Destination | null>(null);
  const [made, setMade] = useState<{ name: string; secret: string } | null>(null);
  const [testing, setTesting] = useState<string | null>(null);
  const [tested, setTested] = useState<{ name: string; came: Tested } | null>(null);

  const test = async ({ id, name }: Destination) => {
    setTesting(id);
    setTested(null);
    try {
      setTested({ name, came: await ask(() => api.POST("/api/v1/admin/alert-destinations/{id}/test", { params: { path: { id } } })) });
      await refresh();
    } catch (fault) {
      told.refused(fault);
    } finally {
      setTesting(null);
    }
  };
  const rest = async ({ id, active }: Destination) => {
    await ask(() => api.PUT("/api/v1/admin/alert-destinations/{id}", { params: { path: { id } }, body: { active: !active } }));
    await refresh();
    told.done(active ? "Told nothing until it is put back." : "Told again from now on.");
  };
  const columns: Column<Destination>[] = [
    { id: "name", head: "Name", sort: (row) => row.name, cell: (row) => <strong>{row.name}</strong> },
    { id: "way", head: "By", cell: (row) => row.kind ? <>{ways[row.kind]} <span className="muted clip-all">{placeOf(row)}</span></> : <span className="text-bad">{row.fault}</span> },
    { id: "what", head: "Told of", hide: "medium", cell: (row) => row.kind && <Narrowed of={row} /> },
    { id: "state", head: "State", hide: "narrow", cell: (row) => row.fault ? <Status tone="bad" title={row.fault}>edited</Status> : row.active ? <Status tone="good">told</Status> : <Status tone="quiet">set aside</Status> },
    {
      id: "acts", head: "", align: "right", cell: (row) => mayAct && (
        <span className="row-tight">
          {!row.fault && <Button variant="default" size="compact-sm" loading={testing === row.id} onClick={() => void test(row)} aria-label={`Send a test to ${row.name}`}>Send a test</Button>}
          <Menu position="bottom-end">
            <Menu.Target><Button variant="subtle" color="gray" size="compact-sm" aria-label={`Actions on ${row.name}`}><Icon name="dots" /></Button></Menu.Target>
            <Menu.Dropdown>
              {!row.fault && <Menu.Item onClick={() => setEditing(row)}>Change</Menu.Item>}
              {!row.fault && <Menu.Item onClick={() => void rest(row).catch(told.refused)}>{row.active ? "Set aside" : "Put back"}</Menu.Item>}
              <Menu.Divider />
              <Menu.Item color="red" onClick={() => setRemoving(row)}>Remove</Menu.Item>
            </Menu.Dropdown>
          </Menu>
        </span>
      ),
    },
  ];
  const add = mayAct && <Button leftSection={<Icon name="plus" size={16} />} onClick={() => setEditing("new")}>Add a destination</Button>;
  return (
    <div className="stack">
      {tested && (
        <div className={`banner ${tested.came.ok ? "banner-good" : "banner-bad"}`} role="status">
          <Icon name={tested.came.ok ? "check" : "warn"} />
          <span>{tested.came.ok ? <><strong>{tested.name} has confirmed the test.</strong></> : <><strong>{tested.name} was not reached:</strong> {tested.came.detail}.</>}</span>
        </div>
      )}
      <Panel title="Destinations" about="Each is told once when an alert is raised and once when it is over, and again until it confirms." actions={asked.data && asked.data.length > 0 && add} flush>
        <Loaded of={asked} what="Destinations">
          {(items) => items.length === 0 ? <Empty icon="bell" title="Nobody is told" action={add || undefined}>A webhook, e-mail or syslog: whoever has to know when a key is refused at night.</Empty>
            : <DataTable label="Destinations" rows={items} columns={columns} keyOf={(row) => row.id} first={{ id: "name" }} />}
        </Loaded>
      </Panel>
      <Deliveries destinations={asked.data ?? []} mayAct={mayAct} />
      <Suspense>
        {editing && <Edit of={editing === "new" ? null : editing} onClose={() => setEditing(null)} onMade={(name, secret) => { setEditing(null); if (secret) setMade({ name, secret }); }} />}
        {made && <Made {...made} onClose={() => setMade(null)} />}
      </Suspense>
      {removing && (
        <Confirm title={`Remove ${removing.name}?`} action="Remove" onClose={() => setRemoving(null)}
          act={async () => {
            await ask(() => api.DELETE("/api/v1/admin/alert-destinations/{id}", { params: { path: { id: removing.id } } }));
            await refresh();
            told.done(`${removing.name} is told nothing any more.`);
          }}>
          <p>It is told nothing any more, and what it was still to be told is dropped.</p>
        </Confirm>
      )}
    </div>
  );
}
