// A client key is made, and shown once.

import { Button, Radio, Select, TextInput, Textarea } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { type Refused, type Schemas, api, ask, asRefused } from "../api/client";
import { providers, queries, secrets } from "../api/queries";
import { fromInput } from "../format";
import { ButtonLink } from "../parts/links";
import { Icon } from "../icons";
import { Explain } from "../parts/Explain";
import { Loaded, Page, Panel } from "../parts/basic";
import { type Line, Scopes, written } from "../parts/Scopes";
import { Shown } from "../parts/Shown";
import { newKeyRoute } from "../router";
import { firstCall } from "../snippet";
import { may, useWho } from "../session";

const lines = (text: string) => text.split(/[\s,]+/).filter(Boolean);

export function NewKey() {
  const catalogue = useQuery(providers);
  const held = useQuery(secrets);
  const { provider: wanted } = newKeyRoute.useSearch();
  const who = useWho();
  const [name, setName] = useState("");
  const [role, setRole] = useState<string>("user");
  const [tier, setTier] = useState<string>("standard");
  const [all, setAll] = useState(wanted ? "some" : "all");
  const [scopes, setScopes] = useState<Line[]>([{ deny: false, provider: wanted ?? "*", methods: "GET", path: "/**" }]);
  const [ends, setEnds] = useState("");
  const [owner, setOwner] = useState("");
  const [addresses, setAddresses] = useState("");
  const [origins, setOrigins] = useState("");
  const [limit, setLimit] = useState("");
  const [monthly, setMonthly] = useState("");
  const [atOnce, setAtOnce] = useState("");
  const [busy, setBusy] = useState(false);
  const [refused, setRefused] = useState<Refused | null>(null);
  const [made, setMade] = useState<Schemas["ClientKeyShown"] | null>(null);

  const first = wanted ?? held.data?.find((secret) => secret.usable)?.provider ?? "sandbox";
  if (made) {
    const named = all === "some" ? scopes.filter((line) => !line.deny && line.provider !== "*").map((line) => line.provider) : [];
    const usable = (held.data ?? []).filter((secret) => secret.usable).map((secret) => secret.provider);
    const ids = [...new Set(named.length > 0 ? named : [first, ...usable])];
    const tried = ids.map((id) => ({ id, usual: catalogue.data?.find((one) => one.id === id)?.probe?.path }));
    return (
      <Page title={`${made.name} is ready`} name="New client key" above={<Link to="/keys">Client keys</Link>}>
        <div className="narrow stack">
          <Panel><Shown made={made} providers={tried} /></Panel>
          <div className="row"><ButtonLink to="/keys/$id" params={{ id: made.id }} variant="default">Open this key</ButtonLink><ButtonLink to="/" variant="subtle" color="gray">Watch for its first call</ButtonLink></div>
        </div>
      </Page>
    );
  }
  const figure = (value: string) => (value === "" ? null : Number(value));
  const make = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setRefused(null);
    try {
      const body = {
        name, role: role as Schemas["Role"], tier: tier as Schemas["Tier"],
        scopes: all === "all" ? null : scopes.map(written),
        expires_at: fromInput(ends), owner: owner || null,
        allowed_ips: addresses.trim() ? lines(addresses) : null,
        allowed_origins: origins.trim() ? lines(origins) : null,
        limit: figure(limit), monthly_quota: figure(monthly), max_concurrent: figure(atOnce),
      };
      const shown = await ask(() => api.POST("/api/v1/admin/api-keys", { body: body as Schemas["NewClientKey"] }));
      await queries.invalidateQueries({ queryKey: ["keys"] });
      setMade(shown);
    } catch (fault) {
      setRefused(asRefused(fault));
    } finally {
      setBusy(false);
    }
  };
  const said = ["name", "role", "tier", "scopes", "expires_at", "owner", "allowed_ips", "allowed_origins", "limit", "monthly_quota", "max_concurrent"];
  const roles = may.administer(who.role) ? ["user", "guest", "operator", "auditor", "admin"] : ["user", "guest"];
  return (
    <Page title="New client key" above={<Link to="/keys">Client keys</Link>}>
      <Loaded of={catalogue} what="The catalogue">
        {(list) => (
          <form className="stack narrow" onSubmit={(event) => void make(event)}>
            <Panel title="Who">
              <div className="grid-2">
                <TextInput label="Name" placeholder="research notebook" value={name} onChange={(event) => setName(event.currentTarget.value)} error={refused?.of("name")} required autoFocus maxLength={100} />
                <TextInput label="Owner" value={owner} onChange={(event) => setOwner(event.currentTarget.value)} error={refused?.of("owner")} />
                <Select label="Role" value={role} onChange={(value) => setRole(value ?? "user")} data={roles} allowDeselect={false} error={refused?.of("role")} description={role === "guest" ? "GET and HEAD alone" : role === "user" ? "Calls providers" : "May also use the admin face"} />
                <TextInput label="Ends" type="datetime-local" value={ends} onChange={(event) => setEnds(event.currentTarget.value)} error={refused?.of("expires_at")} description="Empty: never" />
              </div>
            </Panel>
            <Panel title="What it may call">
              <div className="stack">
                <Radio.Group value={all} onChange={setAll} aria-label="What it may call">
                  <div className="row"><Radio value="all" label="All that its role allows" /><Radio value="some" label="Only what these rules allow" /></div>
                </Radio.Group>
                {all === "some" && <Scopes lines={scopes} providers={list} onChange={setScopes} error={refused?.of("scopes")} />}
                <details>
                  <summary className="small">May it? Ask before it is made</summary>
                  <Explain of={{ role: role as Schemas["Role"], scopes: all === "all" ? null : scopes.map(written) }} first={`/${first}${firstCall(first).path}`} />
                </details>
              </div>
            </Panel>
            <Panel title="How much">
              <div className="grid-4">
                <Select label="Tier" value={tier} onChange={(value) => setTier(value ?? "standard")} data={["unlimited", "premium", "standard", "limited"]} allowDeselect={false} error={refused?.of("tier")} />
                <TextInput label="Own limit" placeholder="the tier's" value={limit} onChange={(event) => setLimit(event.currentTarget.value.replaceAll(/\D/g, ""))} inputMode="numeric" error={refused?.of("limit")} />
                <TextInput label="A month" placeholder="no quota" value={monthly} onChange={(event) => setMonthly(event.currentTarget.value.replaceAll(/\D/g, ""))} inputMode="numeric" error={refused?.of("monthly_quota")} />
                <TextInput label="At once" placeholder="no bound" value={atOnce} onChange={(event) => setAtOnce(event.currentTarget.value.replaceAll(/\D/g, ""))} inputMode="numeric" error={refused?.of("max_concurrent")} />
              </div>
            </Panel>
            <Panel title="From where" about="Empty: from everywhere.">
              <div className="grid-2">
                <Textarea label="Addresses" placeholder={"10.0.0.0/8\n192.0.2.7"} autosize minRows={2} value={addresses} onChange={(event) => setAddresses(event.currentTarget.value)} error={refused?.of("allowed_ips")} />
                <Textarea label="Origins of pages" placeholder="https://app.example" autosize minRows={2} value={origins} onChange={(event) => setOrigins(event.currentTarget.value)} error={refused?.of("allowed_origins")} />
              </div>
            </Panel>
            {refused && refused.fields.every((fault) => !said.some((name) => fault.field.startsWith(name))) && <p className="fault" role="alert">{refused.message}</p>}
            <div className="row-end"><ButtonLink to="/keys" variant="default">Cancel</ButtonLink><Button type="submit" loading={busy} leftSection={<Icon name="key" size={16} />}>Create the key</Button></div>
          </form>
        )}
      </Loaded>
    </Page>
  );
}
