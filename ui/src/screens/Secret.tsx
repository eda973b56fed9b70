// One provider key: how it stands, its versions and checks, and what can be done with it. Never its value.

import { Button, Menu } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { Suspense, lazy, useMemo, useState } from "react";
import { type Schemas, api, ask } from "../api/client";
import { providers, queries, secret as secretQuery, usage } from "../api/queries";
import { duration, number, percent, sentence } from "../format";
import { Icon } from "../icons";
import { Confirm } from "../parts/confirm";
import { Facts, Loaded, Loading, Mono, Page, Panel, Status, Tag, Time, told, toneOf } from "../parts/basic";
import { DataTable, type Column } from "../parts/DataTable";
import { secretRoute } from "../router";
import { may, useWho } from "../session";
import { Ends, HealthOf, lastUse } from "../parts/marks";

const Checks = lazy(() => import("./secret/Checks"));
const Edit = lazy(() => import("./secret/Edit"));
const Replace = lazy(() => import("./secret/Replace"));
const RotationPanel = lazy(() => import("./secret/Rotation"));
const Live = lazy(() => import("./secret/Live"));
const Pool = lazy(() => import("./secret/Pool"));

type Secret = Schemas["Secret"];

const refresh = () => queries.invalidateQueries({ queryKey: ["secrets"] });

function Used({ id }: { id: string }) {
  const from = useMemo(() => new Date(Date.now() - 86_400_000).toISOString(), []);
  const asked = useQuery(usage({ from, bucket: "hour", group_by: "secret" }));
  const rows = asked.data?.items.filter((item) => item.group === id) ?? [];
  const requests = rows.reduce((all, row) => all + row.requests, 0);
  // What callers did wrong is no fault of the key.
  const faults = rows.reduce((all, row) => all + row.errors.provider, 0);
  const latest = rows.at(-1);
  return (
    <div className="figures figures-4">
      <div className="figure"><span className="figure-name">Calls, 24 h</span><span className="figure-value">{number(requests)}</span></div>
      <div className="figure"><span className="figure-name">Failed there</span><span className="figure-value">{requests ? percent(faults / requests) : "–"}</span></div>
      <div className="figure"><span className="figure-name">p95, last hour used</span><span className="figure-value">{duration(latest?.p95_ms)}</span></div>
      <div className="figure"><span className="figure-name">Tokens, 24 h</span><span className="figure-value">{number(rows.reduce((all, row) => all + row.tokens_in + row.tokens_out, 0))}</span></div>
    </div>
  );
}

type Doing = "replace" | "edit" | "destroy" | "disable" | "reseal" | null;

export function Secret() {
  const { id } = secretRoute.useParams();
  const asked = useQuery(secretQuery(id));
  const catalogue = useQuery(providers);
  const [doing, setDoing] = useState<Doing>(null);
  const [run, setRun] = useState(0);
  const [running, setRunning] = useState(false);
  const who = useWho();
  const go = useNavigate();

  return (
    <Loaded of={asked} what="This key">
      {(secret) => {
        const title = catalogue.data?.find((one) => one.id === secret.provider)?.title ?? secret.provider;
        const provider = catalogue.data?.find((one) => one.id === secret.provider);
        const path = { path: { id } };
        const change = async (active: boolean) => {
          await ask(() => api.PUT("/api/v1/admin/secrets/{id}", { params: path, body: { active } }));
          await refresh();
          told.done(active ? "In service again." : "Disabled: callers get 503 until it is enabled.");
        };
        const columns: Column<Schemas["Version"]>[] = [
          { id: "version", head: "Version", sort: (row) => row.version, cell: (row) => `v${row.version}` },
          { id: "state", head: "State", cell: (row) => <Status tone={toneOf(row.state)}>{row.state}</Status> },
          { id: "share", head: "Share of calls", align: "right", cell: (row) => `${row.share} %` },
          { id: "made", head: "Entered", hide: "narrow", sort: (row) => row.created_at, cell: (row) => <Time at={row.created_at} /> },
          { id: "used", head: "Last use", hide: "narrow", sort: (row) => row.last_used_at ?? "", cell: (row) => <Time at={row.last_used_at} as="relative" /> },
        ];
        return (
          <Page
            title={<>{title} <span className="title-quiet">{secret.name}</span></>}
            name={`${title} ${secret.name}`}
            above={<Link to="/secrets">Provider keys</Link>}
            about={<HealthOf secret={secret} />}
            actions={may.operate(who.role) && (
              <>
                {secret.active && provider && secret.rotation?.state !== "running" && secret.rotation?.state !== "paused" && <Button variant="default" leftSection={<Icon name="swap" size={16} />} onClick={() => setDoing("replace")}>Replace</Button>}
                <Button variant="default" loading={running} leftSection={<Icon name="check" size={16} />} onClick={() => { setRun((before) => before + 1); setRunning(true); }}>Check now</Button>
                <Menu position="bottom-end">
                  <Menu.Target><Button variant="default" aria-label="More actions" px="xs"><Icon name="dots" /></Button></Menu.Target>
                  <Menu.Dropdown>
                    <Menu.Item onClick={() => setDoing("edit")}>Edit</Menu.Item>
                    {secret.active ? <Menu.Item onClick={() => setDoing("disable")}>Disable</Menu.Item> : <Menu.Item onClick={() => void change(true).catch(told.refused)}>Enable</Menu.Item>}
                    <Menu.Item onClick={() => setDoing("reseal")}>Allow the present destinations</Menu.Item>
                    {may.administer(who.role) && <><Menu.Divider /><Menu.Item color="red" onClick={() => setDoing("destroy")}>Destroy</Menu.Item></>}
                  </Menu.Dropdown>
                </Menu>
              </>
            )}
          >
            {secret.fault && <div className="banner banner-bad" role="status"><Icon name="warn" /><span>{secret.fault}</span></div>}
            {secret.health !== "healthy" && secret.health_detail && secret.active && run === 0 && (
              <div className={`banner ${secret.health === "refused" ? "banner-bad" : "banner-warn"}`} role="status"><Icon name="warn" /><span>{secret.health_detail} <span className="faint">Since <Time at={secret.health_since} />.</span></span></div>
            )}
            {run > 0 && <Suspense><Live key={run} id={id} onDone={() => { setRunning(false); void refresh(); }} /></Suspense>}
            {secret.rotation && <Suspense><RotationPanel secret={secret} moving={secret.rotation} mayAct={may.operate(who.role)} /></Suspense>}
            <Used id={id} />
            <div className="columns columns-wide-left">
              <div className="stack">
                <Panel title="Versions" flush><DataTable label="Versions" rows={secret.versions} columns={columns} keyOf={(row) => String(row.version)} first={{ id: "version", desc: true }} /></Panel>
                <Panel title="Checks" about="The last fifty are kept."><Suspense fallback={<Loading rows={2} />}><Checks id={id} /></Suspense></Panel>
              </div>
              <div className="stack">
                {(secret.pool || secret.provider_limit) && <Suspense><Pool secret={secret} mayAct={may.operate(who.role)} /></Suspense>}
                <Panel title="About">
                  <Facts items={[
                    { name: "Provider", value: <Link to="/providers/$id" params={{ id: secret.provider }}>{title}</Link> },
                    { name: "Category", value: secret.category },
                    { name: "Owner", value: secret.owner ?? "–" },
                    { name: "Ends", value: <Ends at={secret.expires_at} /> },
                    { name: "Last use", value: <Time at={lastUse(secret)} as="relative" /> },
                    { name: "Checked", value: <Time at={secret.checked_at} as="relative" /> },
                    secret.account ? { name: "Account", value: secret.account } : null,
                    secret.permissions ? { name: "May", value: <span className="row-wrap">{secret.permissions.map((one) => <Tag key={one}>{one}</Tag>)}</span> } : null,
                    ...Object.entries(secret.limits ?? {}).map(([name, value]) => ({ name: sentence(name), value: number(value) })),
                    { name: "Fingerprint", value: <Mono title={secret.fingerprint}>{secret.fingerprint.slice(0, 16)}…</Mono> },
                    ...Object.entries(secret.labels).map(([name, value]) => ({ name, value })),
                    { name: "Entered", value: <Time at={secret.created_at} /> },
                    { name: "In the trail", value: <Link to="/audit" search={{ secret: id }}>Calls with this key</Link> },
                  ]} />
                </Panel>
              </div>
            </div>
            <Suspense>
              {doing === "replace" && provider && <Replace secret={secret} provider={provider} all={catalogue.data ?? []} onClose={() => setDoing(null)} />}
              {doing === "edit" && <Edit secret={secret} onClose={() => setDoing(null)} />}
            </Suspense>
            {doing === "disable" && (
              <Confirm title="Disable this key?" action="Disable" onClose={() => setDoing(null)} act={() => change(false)}>
                <p>Calls to {title} that use it are answered 503 until it is enabled again. The value stays sealed.</p>
              </Confirm>
            )}
            {doing === "reseal" && (
              <Confirm title="Allow the present destinations?" action="Allow" danger={false} onClose={() => setDoing(null)}
                act={async () => { await ask(() => api.POST("/api/v1/admin/secrets/{id}/reseal", { params: path })); await refresh(); told.done("Sealed for the present destinations."); }}>
                <p>The key is sealed for the addresses that it was entered for. Do this where the catalogue's entry has changed and the change is yours.</p>
              </Confirm>
            )}
            {doing === "destroy" && (
              <Confirm title="Destroy this key?" action="Destroy" typed={secret.name} onClose={() => setDoing(null)}
                act={async () => {
                  await ask(() => api.DELETE("/api/v1/admin/secrets/{id}", { params: path }));
                  await go({ to: "/secrets" });
                  await refresh();
                  told.done("Destroyed. Its records stay.");
                }}>
                <p>Its {secret.versions.length === 1 ? "value is" : "values are"} gone for good, here and in every database copy that is not a backup. Calls that use it are answered 503 at once.</p>
                <p className="muted">Last use: <Time at={lastUse(secret)} as="relative" /></p>
              </Confirm>
            )}
          </Page>
        );
      }}
    </Loaded>
  );
}
