// What a client key may and how much is changed; it holds from the next call on.

import { Button, Modal, Select, TextInput, Textarea } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { type Refused, type Schemas, api, ask, asRefused } from "../../api/client";
import { providers, queries } from "../../api/queries";
import { forInput, fromInput } from "../../format";
import { told } from "../../parts/basic";
import { Scopes, read, written } from "../../parts/Scopes";

type ClientKey = Schemas["ClientKey"];
const refresh = () => queries.invalidateQueries({ queryKey: ["keys"] });

export default function Edit({ of, onClose }: { of: ClientKey; onClose: () => void }) {
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
