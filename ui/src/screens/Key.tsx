// One client key: what it may, what it did, and how it is replaced or ended.

import { Button, Menu, Modal, Select, TextInput, Textarea } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { type FormEvent, useMemo, useState } from "react";
import { type Refused, type Schemas, api, ask, asRefused } from "../api/client";
import { clientKey, keyTrail, providers, queries, usage } from "../api/queries";
import { bytes, exact, forInput, fromInput, money, number, percent, plural } from "../format";
import { Icon } from "../icons";
import { Confirm } from "../parts/confirm";
import { Facts, Loaded, Mono, Page, Panel, Status, Tag, Time, told } from "../parts/basic";
import { Meter } from "../parts/Meter";
import { Records } from "../parts/Records";
import { Scopes, read, written } from "../parts/Scopes";
import { keyRoute } from "../router";
import { may, useWho } from "../session";
import { StateOf } from "./Keys";
import { Shown } from "./NewKey";
import { Ends } from "../parts/marks";

type ClientKey = Schemas["ClientKey"];
const refresh = () => queries.invalidateQueries({ queryKey: ["keys"] });

function Edit({ of, onClose }: { of: ClientKey; onClose: () => void }) {
  const catalogue = useQuery(providers);
  const [name, setName] = useState(of.name);
  const [owner, setOwner] = useState(of.owner ?? "");
  const [tier, setTier] = useState<string>(of.tier);
  const [ends, setEnds] = useState(of.expires_at ? forInput(of.expires_at) : "");
  const [all, setAll] = useState(of.scopes === null || of.scopes === undefined);
  const [scopes, setScopes] = useState((of.scopes ?? []).map(read));
  const [addresses, setAddresses] = useState((of.allowed_ips ?? []).join("\n"));
  const [origins, setOrigins] = useState((of.allowed_origins ?? []).join("\n"));
  const [limit, setLimit] = useState(String(of.limit ?? ""));
  const [monthly, setMonthly] = useState(String(of.monthly_quota ?? ""));
  const [refused, setRefused] = useState<Refused | null>(null);
  const list = (text: string) => (text.trim() ? text.split(/[\s,]+/).filter(Boolean) : null);
  const save = async (event: FormEvent) => {
    event.preventDefault();
    try {
      const body = {
        name, owner: owner || null, tier: tier as Schemas["Tier"], expires_at: fromInput(ends), scopes: all ? null : scopes.map(written),
        allowed_ips: list(addresses), allowed_origins: list(origins),
        limit: limit === "" ? null : Number(limit), monthly_quota: monthly === "" ? null : Number(monthly),
      };
      await ask(() => api.PUT("/api/v1/admin/api-keys/{id}", { params: { path: { id: of.id } }, body }));
      await refresh();
      told.done("Saved; it holds from the next call on.");
      onClose();
    } catch (fault) {
      setRefused(asRefused(fault));
    }
  };
  return (
    <Modal opened onClose={onClose} title="Edit" size="xl">
      <form className="stack" onSubmit={(event) => void save(event)}>
        <div className="grid-2">
          <TextInput label="Name" value={name} onChange={(event) => setName(event.currentTarget.value)} error={refused?.of("name")} required data-autofocus />
          <TextInput label="Owner" value={owner} onChange={(event) => setOwner(event.currentTarget.value)} error={refused?.of("owner")} />
          <Select label="Tier" value={tier} onChange={(value) => setTier(value ?? of.tier)} data={["unlimited", "premium", "standard", "limited"]} allowDeselect={false} error={refused?.of("tier")} />
          <TextInput label="Ends" type="datetime-local" value={ends} onChange={(event) => setEnds(event.currentTarget.value)} error={refused?.of("expires_at")} />
          <TextInput label="Own limit" placeholder="the tier's" value={limit} onChange={(event) => setLimit(event.currentTarget.value.replaceAll(/\D/g, ""))} inputMode="numeric" error={refused?.of("limit")} />
          <TextInput label="A month" placeholder="no quota" value={monthly} onChange={(event) => setMonthly(event.currentTarget.value.replaceAll(/\D/g, ""))} inputMode="numeric" error={refused?.of("monthly_quota")} />
          <Textarea label="Addresses" value={addresses} onChange={(event) => setAddresses(event.currentTarget.value)} autosize minRows={2} error={refused?.of("allowed_ips")} />
          <Textarea label="Origins of pages" value={origins} onChange={(event) => setOrigins(event.currentTarget.value)} autosize minRows={2} error={refused?.of("allowed_origins")} />
        </div>
        <Select label="May call" value={all ? "all" : "some"} onChange={(value) => setAll(value === "all")} data={[{ value: "all", label: "all that its role allows" }, { value: "some", label: "only what these rules allow" }]} allowDeselect={false} />
        {!all && <Scopes lines={scopes} providers={catalogue.data ?? []} onChange={setScopes} error={refused?.of("scopes")} />}
        {refused && refused.fields.length === 0 && <p className="fault" role="alert">{refused.message}</p>}
        <div className="row-end"><Button variant="default" onClick={onClose}>Cancel</Button><Button type="submit">Save</Button></div>
      </form>
    </Modal>
  );
}

function Rotate({ of, onClose }: { of: ClientKey; onClose: () => void }) {
  const [hours, setHours] = useState("24");
  const [made, setMade] = useState<Schemas["ClientKeyShown"] | null>(null);
  const [refused, setRefused] = useState<Refused | null>(null);
  const [busy, setBusy] = useState(false);
  const go = async () => {
    setBusy(true);
    try {
      setMade(await ask(() => api.POST("/api/v1/admin/api-keys/{id}/rotate", { params: { path: { id: of.id } }, body: { overlap_seconds: Number(hours) * 3600 } as never })));
      await refresh();
    } catch (fault) {
      setRefused(asRefused(fault));
    } finally {
      setBusy(false);
    }
  };
  return (
    <Modal opened onClose={onClose} title={made ? "The new key" : "Rotate this key"} size={made ? "lg" : "md"}>
      {made ? (
        <div className="stack">
          <Shown made={made} provider="sandbox" />
          {made.previous && <p className="muted small">The former key is taken until <Time at={made.previous.valid_until} />.</p>}
          <div className="row-end"><Button onClick={onClose}>Done</Button></div>
        </div>
      ) : (
        <div className="stack">
          <p className="muted">The id, rights and history stay. Both keys are taken until the former one ends, so that callers can change over without a failed call.</p>
          <Select label="The former key is taken for" value={hours} onChange={(value) => setHours(value ?? "24")} allowDeselect={false} data={[{ value: "0", label: "no longer: it ends at once" }, { value: "1", label: "one hour" }, { value: "24", label: "one day" }, { value: "168", label: "one week" }]} />
          {refused && <p className="fault" role="alert">{refused.message}</p>}
          <div className="row-end"><Button variant="default" onClick={onClose}>Cancel</Button><Button onClick={() => void go()} loading={busy}>Make a new key</Button></div>
        </div>
      )}
    </Modal>
  );
}

function Explain({ id }: { id: string }) {
  const [method, setMethod] = useState("GET");
  const [url, setUrl] = useState("/sandbox/v2/aggs/ticker/AAPL/range/1/day/2026-01-05/2026-01-09");
  const [said, setSaid] = useState<Schemas["Explained"] | null>(null);
  const [refused, setRefused] = useState<Refused | null>(null);
  const go = async (event: FormEvent) => {
    event.preventDefault();
    setRefused(null);
    setSaid(null);
    try {
      setSaid(await ask(() => api.POST("/api/v1/admin/policy/explain", { body: { key_id: id, method, url } })));
    } catch (fault) {
      setRefused(asRefused(fault));
    }
  };
  return (
    <form className="stack-tight" onSubmit={(event) => void go(event)}>
      <div className="explain">
        <Select aria-label="Method" value={method} onChange={(value) => setMethod(value ?? "GET")} data={["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]} allowDeselect={false} w={104} />
        <TextInput aria-label="Path behind the proxy" value={url} onChange={(event) => setUrl(event.currentTarget.value)} className="grow mono-input" spellCheck={false} />
        <Button type="submit" variant="default">Try</Button>
      </div>
      {refused && <p className="fault" role="alert">{refused.fields[0] ? `${refused.fields[0].field} ${refused.fields[0].fault}` : refused.message}</p>}
      {said && (
        <div role="status" className="explained">
          <Status tone={said.decision === "allow" ? "good" : "bad"}>{said.decision}</Status>
          <p>{said.reason}</p>
          {said.rule && <p className="faint small">Rule: <Mono>{said.rule}</Mono></p>}
        </div>
      )}
    </form>
  );
}

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
                <Panel title="May it?" about="Asks the same rules that a call would meet."><Explain id={id} /></Panel>
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
            {doing === "edit" && <Edit of={key} onClose={() => setDoing(null)} />}
            {doing === "rotate" && <Rotate of={key} onClose={() => setDoing(null)} />}
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
