// One client key: what it may, what it did, and how it is replaced or ended.

import { Button, Menu } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { Suspense, lazy, useMemo, useState } from "react";
import { type Schemas, api, ask } from "../api/client";
import { clientKey, keyTrail, queries, usage } from "../api/queries";
import { bytes, exact, money, number, percent, plural } from "../format";
import { Icon } from "../icons";
import { Confirm } from "../parts/confirm";
import { Explain } from "../parts/Explain";
import { Facts, Loaded, Mono, Page, Panel, Tag, Time, told } from "../parts/basic";
import { Meter } from "../parts/Meter";
import { Records } from "../parts/Records";
import { keyRoute } from "../router";
import { may, useWho } from "../session";
import { firstCall, likeliest } from "../snippet";
import { Ends, StateOf } from "../parts/marks";

type ClientKey = Schemas["ClientKey"];
const refresh = () => queries.invalidateQueries({ queryKey: ["keys"] });

const Edit = lazy(() => import("./key/Edit"));
const Rotate = lazy(() => import("./key/Rotate"));

function Used({ id }: { id: string }) {
  const from = useMemo(() => new Date(Date.now() - 86_400_000).toISOString(), []);
  const asked = useQuery(usage({ from, bucket: "hour", group_by: "client" }));
  const rows = asked.data?.items.filter((item) => item.group === id) ?? [];
  const sum = (of: (row: Schemas["Usage"]) => number) => rows.reduce((all, row) => all + of(row), 0);
  const requests = sum((row) => row.requests);
  const faults = sum((row) => row.errors.client + row.errors.provider + row.errors.us);
  return (
    <div className="figures figures-4">
      <div className="figure"><span className="figure-name">Calls, 24 h</span><span className="figure-value">{number(requests)}</span></div>
      <div className="figure"><span className="figure-name">Failed</span><span className="figure-value">{requests ? percent(faults / requests) : "–"}</span></div>
      <div className="figure"><span className="figure-name">Received, 24 h</span><span className="figure-value">{bytes(sum((row) => row.bytes_out))}</span></div>
      <div className="figure"><span className="figure-name">Cost, 24 h</span><span className="figure-value">{money(sum((row) => row.cost))}</span></div>
    </div>
  );
}

function Revoke({ of, onClose }: { of: ClientKey; onClose: () => void }) {
  const asked = useQuery(keyTrail(of.id));
  const since = Date.now() - 15 * 60_000;
  const recent = asked.data?.items.filter((record) => record.kind === "usage" && new Date(record.timestamp).getTime() > since) ?? [];
  const routes = [...new Set(recent.map((record) => `${record.method} /${record.provider ?? ""}${record.endpoint}`))].slice(0, 5);
  return (
    <Confirm title="Revoke this key?" action="Revoke" onClose={onClose}
      act={async () => { await ask(() => api.PUT("/api/v1/admin/api-keys/{id}", { params: { path: { id: of.id } }, body: { active: false } })); await refresh(); told.done("Revoked: its next call is a 401."); }}>
      <p>Every call with it is refused at once, and its open streams are cut. It can be restored.</p>
      {recent.length > 0 ? (
        <div className="warned">
          <p><strong>In use: {plural(recent.length, "call")} in the last 15 minutes</strong>, the last <Time at={recent[0]?.timestamp} as="relative" /> from {recent[0]?.address ?? "this machine"}.</p>
          <ul>{routes.map((route) => <li key={route}><Mono>{route}</Mono></li>)}</ul>
        </div>
      ) : <p className="muted">No call in the last 15 minutes. Last use: {of.last_used_at ? <Time at={of.last_used_at} as="relative" /> : "never"}.</p>}
    </Confirm>
  );
}

export function Key() {
  const { id } = keyRoute.useParams();
  const asked = useQuery(clientKey(id));
  const trail = useQuery(keyTrail(id));
  const [doing, setDoing] = useState<"edit" | "rotate" | "revoke" | "delete" | null>(null);
  const who = useWho();
  const go = useNavigate();
  return (
    <Loaded of={asked} what="This key">
      {(key) => {
        const path = { path: { id } };
        const restore = async () => {
          await ask(() => api.PUT("/api/v1/admin/api-keys/{id}", { params: path, body: { active: true } }));
          await refresh();
          told.done("Taken again.");
        };
        const { proxy, admin } = key.limits;
        return (
          <Page title={key.name} above={<Link to="/keys">Client keys</Link>} about={<span className="row-wrap"><StateOf of={key} />{key.key_preview && <Mono>{key.key_preview}…</Mono>}{key.description && <span>{key.description}</span>}</span>}
            actions={may.operate(who.role) && (
              <>
                {key.state === "active" && <Button variant="default" leftSection={<Icon name="swap" size={16} />} onClick={() => setDoing("rotate")}>Rotate</Button>}
                {key.active ? <Button variant="default" color="red" onClick={() => setDoing("revoke")}>Revoke</Button> : <Button variant="default" onClick={() => void restore().catch(told.refused)}>Restore</Button>}
                <Menu position="bottom-end">
                  <Menu.Target><Button variant="default" aria-label="More actions" px="xs"><Icon name="dots" /></Button></Menu.Target>
                  <Menu.Dropdown><Menu.Item onClick={() => setDoing("edit")}>Edit</Menu.Item><Menu.Divider /><Menu.Item color="red" onClick={() => setDoing("delete")}>Delete</Menu.Item></Menu.Dropdown>
                </Menu>
              </>
            )}>
            {key.fault && <div className="banner banner-bad" role="status"><Icon name="warn" /><span>{key.fault}</span></div>}
            <Used id={id} />
            <div className="columns columns-wide-left">
              <div className="stack">
                <Panel title="May it?" about="Asks the same rules that a call would meet."><Explain of={{ key_id: id }} first={`/${likeliest(key.scopes)}${firstCall(likeliest(key.scopes), key).path}`} /></Panel>
                <Panel title="Its latest records" flush actions={<Link to="/audit" search={{ actor: id }} className="small">All in the trail</Link>}>
                  <Loaded of={trail} what="The trail">{({ items }) => <Records records={items.slice(0, 12)} label="Latest records" none="Nothing yet." compact />}</Loaded>
                </Panel>
              </div>
              <div className="stack">
                <Panel title="Limits">
                  <div className="stack-tight">
                    {proxy ? <Meter label="This window" used={proxy.used} limit={proxy.limit} at={proxy.reset_at} endless={key.tier === "unlimited" && !key.limit} /> : <p className="muted small">It may not call providers.</p>}
                    {proxy?.month && <Meter label="This month" used={proxy.month.used} limit={proxy.month.limit} at={proxy.month.reset_at} />}
                    {may.operate(key.role) && <Meter label="Admin face, a minute" used={admin.used} limit={admin.limit} at={admin.reset_at} />}
                  </div>
                </Panel>
                <Panel title="About">
                  <Facts items={[
                    { name: "Role", value: key.role },
                    { name: "Tier", value: key.tier },
                    { name: "May call", value: key.scopes ? <span className="row-wrap">{key.scopes.length === 0 ? "nothing" : key.scopes.map((scope) => <Mono key={scope}>{scope}</Mono>)}</span> : "all that its role allows" },
                    key.allowed_ips ? { name: "From", value: <span className="row-wrap">{key.allowed_ips.map((one) => <Tag key={one}>{one}</Tag>)}</span> } : null,
                    key.allowed_origins ? { name: "Origins", value: <span className="row-wrap">{key.allowed_origins.map((one) => <Tag key={one}>{one}</Tag>)}</span> } : null,
                    key.max_concurrent ? { name: "At once", value: exact(key.max_concurrent) } : null,
                    ...Object.entries(key.secrets ?? {}).map(([provider, name]) => ({ name: `Key for ${provider}`, value: name })),
                    { name: "Owner", value: key.owner ?? "–" },
                    { name: "Ends", value: <Ends at={key.expires_at} /> },
                    { name: "Last use", value: key.last_used_at ? <><Time at={key.last_used_at} as="relative" />{key.last_used_address && <> from {key.last_used_address}</>}</> : "never" },
                    key.last_used_endpoint ? { name: "Last call", value: <Mono>{key.last_used_endpoint}</Mono> } : null,
                    { name: "Calls ever", value: exact(key.request_count) },
                    key.previous ? { name: "Former key", value: <>taken until <Time at={key.previous.valid_until} /></> } : null,
                    { name: "Made", value: <Time at={key.created_at} /> },
                  ]} />
                </Panel>
              </div>
            </div>
            {doing === "edit" && <Suspense><Edit of={key} onClose={() => setDoing(null)} /></Suspense>}
            {doing === "rotate" && <Suspense><Rotate of={key} onClose={() => setDoing(null)} /></Suspense>}
            {doing === "revoke" && <Revoke of={key} onClose={() => setDoing(null)} />}
            {doing === "delete" && (
              <Confirm title="Delete this key?" action="Delete" typed={key.name} onClose={() => setDoing(null)}
                act={async () => { await ask(() => api.DELETE("/api/v1/admin/api-keys/{id}", { params: path })); await go({ to: "/keys" }); await refresh(); told.done("Deleted. Its records stay."); }}>
                <p>It cannot be restored. Last use: {key.last_used_at ? <Time at={key.last_used_at} as="relative" /> : "never"}.</p>
              </Confirm>
            )}
          </Page>
        );
      }}
    </Loaded>
  );
}
