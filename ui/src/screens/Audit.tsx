// The trail: searched, followed live, one record whole, verified, exported. All filters stand in the address.

import { Button, Menu, Select, Switch, TextInput } from "@mantine/core";
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useEffect, useState } from "react";
import { type Refused, type Schemas, api, ask, asRefused, download } from "../api/client";
import { type TrailAsked, clientKeys, operators, providers, trail } from "../api/queries";
import { useTrail } from "../api/trail";
import { exact, plural } from "../format";
import { Icon } from "../icons";
import { Facts, Loaded, Mono, Page, Panel, Status, told } from "../parts/basic";
import { RecordDrawer, Records } from "../parts/Records";
import { When } from "../parts/When";
import { auditRoute, kinds } from "../router";
import { may, useWho } from "../session";

type Record = Schemas["Record"];

const mostLive = 500;

function save(asked: TrailAsked, format: string) {
  const query = new URLSearchParams({ format });
  for (const [name, value] of Object.entries(asked)) if (value !== undefined) query.set(name, String(value));
  return download("GET", `/api/v1/admin/audit/export?${query}`, `sealgate-trail-${new Date().toISOString().slice(0, 10)}.${format}`);
}

function Verify() {
  const [begun, setBegun] = useState<number | null>(null);
  const [passed, setPassed] = useState(0);
  const [found, setFound] = useState<Schemas["Verification"] | null>(null);
  const [refused, setRefused] = useState<Refused | null>(null);
  useEffect(() => {
    if (begun === null) return;
    const tick = setInterval(() => setPassed((Date.now() - begun) / 1000), 200);
    return () => clearInterval(tick);
  }, [begun]);
  const go = async () => {
    setFound(null);
    setRefused(null);
    setPassed(0);
    setBegun(Date.now());
    try {
      setFound(await ask(() => api.GET("/api/v1/admin/audit/verify", {})));
    } catch (fault) {
      setRefused(asRefused(fault));
    } finally {
      setBegun(null);
    }
  };
  return (
    <Panel title="Does the trail hold?" about="Recomputes the chain of every node and checks what was signed of it."
      actions={<Button variant="default" onClick={() => void go()} loading={begun !== null} leftSection={<Icon name="shield" size={16} />}>Verify</Button>}>
      {begun !== null && <p role="status" className="muted">Reading every record… {passed.toFixed(0)} s</p>}
      {refused && <p className="fault" role="alert">{refused.message}</p>}
      {found && (
        <div role="status" className="stack-tight">
          {found.ok ? <Status tone="good">It holds: {plural(found.records, "record")} in {passed.toFixed(1)} s</Status> : (
            <div className="banner banner-bad">
              <Icon name="warn" />
              <span><strong>It does not hold.</strong> The first bad record is number {found.first_bad?.sequence} of node <Mono>{found.first_bad?.node}</Mono>: {found.first_bad?.reason}.</span>
            </div>
          )}
          {found.nodes.map((node) => (
            <Facts key={node.node} items={[
              { name: "Node", value: <Mono>{node.node.slice(0, 13)}</Mono> },
              { name: "Records that hold", value: exact(node.records) },
              { name: "Signed up to record", value: exact(node.signed_through) },
              { name: "Not vouched for outside yet", value: exact(node.not_yet_covered) },
            ]} />
          ))}
        </div>
      )}
      {begun === null && !found && !refused && <p className="muted small">The same runs offline with <Mono>sealgate audit verify --offline</Mono>, away from this machine.</p>}
    </Panel>
  );
}

export function Audit() {
  const search = auditRoute.useSearch();
  const go = useNavigate({ from: auditRoute.fullPath });
  const who = useWho();
  const keys = useQuery(clientKeys);
  const catalogue = useQuery(providers);
  const accounts = useQuery({ ...operators, enabled: may.administer(who.role) });
  const actors = [
    { group: "Client keys", items: keys.data?.map((key) => ({ value: key.id, label: key.name })) ?? [] },
    ...(accounts.data?.length ? [{ group: "Operators", items: accounts.data.map((one) => ({ value: one.id, label: one.name })) }] : []),
  ];
  const asked: TrailAsked = {
    kind: search.kind, actor: search.actor, provider: search.provider, secret: search.secret,
    status: search.status && /^[1-5]\d\d$/.test(search.status) ? Number(search.status) : undefined,
    request_id: search.request_id, from: search.from, to: search.to,
  };
  const pages = useInfiniteQuery(trail(asked));
  const [live, setLive] = useState<Record[]>([]);
  const wanted = JSON.stringify(asked);
  useEffect(() => setLive([]), [wanted]);
  const following = useTrail(asked, 0, search.live === true, (record) => setLive((before) => (before.some((one) => one.id === record.id) ? before : [record, ...before].slice(0, mostLive))));

  const set = (more: Partial<typeof search>) => void go({ search: (before) => ({ ...before, ...more }), replace: true });
  const kept = pages.data?.pages.flatMap((page) => page.items) ?? [];
  const seen = new Set(live.map((record) => record.id));
  const all = [...live, ...kept.filter((record) => !seen.has(record.id))];
  const chosen = all.find((record) => record.id === search.record) ?? null;
  const filtered = Object.values(asked).some((value) => value !== undefined);

  return (
    <Page title="Audit" about="Every answered call and every change, chained to the one before."
      actions={
        <Menu position="bottom-end">
          <Menu.Target><Button variant="default" leftSection={<Icon name="down" size={16} />}>Export</Button></Menu.Target>
          <Menu.Dropdown>
            <Menu.Label>What fits the filters, signed</Menu.Label>
            <Menu.Item onClick={() => void save(asked, "ndjson").catch(told.refused)}>JSON Lines</Menu.Item>
            <Menu.Item onClick={() => void save(asked, "csv").catch(told.refused)}>CSV</Menu.Item>
          </Menu.Dropdown>
        </Menu>
      }>
      {may.verify(who.role) && <Verify />}
      <Panel flush>
        <div className="toolbar">
          <Select aria-label="Kind" placeholder="Every kind" clearable value={search.kind ?? null} onChange={(value) => set({ kind: (value ?? undefined) as TrailAsked["kind"] })} data={[...kinds]} w={132} clearButtonProps={{ "aria-label": "Every kind" }} />
          <Select aria-label="Who" placeholder="Everybody" clearable searchable value={search.actor ?? null} onChange={(value) => set({ actor: value ?? undefined })} data={actors} limit={200} w={168} clearButtonProps={{ "aria-label": "Everybody" }} />
          <Select aria-label="Provider" placeholder="Every provider" clearable searchable value={search.provider ?? null} onChange={(value) => set({ provider: value ?? undefined })} data={catalogue.data?.map((one) => ({ value: one.id, label: one.title })) ?? []} w={156} clearButtonProps={{ "aria-label": "Every provider" }} />
          <TextInput aria-label="Status" placeholder="Status" value={search.status ?? ""} onChange={(event) => set({ status: event.currentTarget.value || undefined })} w={84} inputMode="numeric" />
          <TextInput aria-label="Request id" placeholder="Request id" value={search.request_id ?? ""} onChange={(event) => set({ request_id: event.currentTarget.value || undefined })} className="grow" />
          <When word="from" at={search.from} onChange={(at) => set({ from: at })} />
          <When word="to" at={search.to} onChange={(at) => set({ to: at })} />
          {filtered && <Button variant="subtle" color="gray" onClick={() => void go({ search: { live: search.live }, replace: true })}>Clear</Button>}
          <Switch label={<span className="nowrap">Live{search.live && following !== "live" ? " (connecting)" : ""}</span>} checked={search.live === true} onChange={(event) => set({ live: event.currentTarget.checked || undefined })} />
        </div>
        <Loaded of={pages} what="The trail" rows={8}>
          {() => (
            <>
              <Records records={all} label="Records" none={filtered ? "No record fits these filters." : "The trail is empty."} chosen={search.record} onChoose={(record) => set({ record: record.id })} />
              <div className="table-foot row-between">
                <span className="faint small" role="status">{plural(all.length, "record")} shown</span>
                {pages.hasNextPage && <Button variant="default" size="xs" loading={pages.isFetchingNextPage} onClick={() => void pages.fetchNextPage()}>Older</Button>}
              </div>
            </>
          )}
        </Loaded>
      </Panel>
      <RecordDrawer record={chosen} onClose={() => set({ record: undefined })} />
    </Page>
  );
}
