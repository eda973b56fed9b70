// A destination is made or changed. A webhook's address may hold a token: it stays in its field, and is taken out of it
// once it was sent. Must never copy it into state.

import { Button, Checkbox, Modal, MultiSelect, Select, TextInput } from "@mantine/core";
import { type FormEvent, useEffect, useRef, useState } from "react";
import { type AlertKind, type Destination, refresh } from "../../api/alerts";
import { type Refused, type Schemas, api, ask, asRefused } from "../../api/client";
import { nameOfKind } from "../../parts/alerts";
import { told } from "../../parts/basic";
import { rules } from "./kinds";

type Way = Schemas["DestinationKind"];
type Severity = Schemas["Severity"];

interface Props {
  of: Destination | null;
  onClose: () => void;
  onMade: (name: string, secret: string | null) => void;
}

export default function Edit({ of, onClose, onMade }: Props) {
  const [name, setName] = useState(of?.name ?? "");
  const [way, setWay] = useState<Way>(of?.kind ?? "webhook");
  const [to, setTo] = useState((of?.to ?? []).join(", "));
  const [kinds, setKinds] = useState<string[]>(of?.kinds ?? []);
  const [least, setLeast] = useState<Severity>(of?.min_severity ?? "info");
  const [over, setOver] = useState(of?.resolved ?? true);
  const [refused, setRefused] = useState<Refused | null>(null);
  const [busy, setBusy] = useState(false);
  const url = useRef<HTMLInputElement>(null);
  useEffect(() => {
    const input = url.current;
    return () => { if (input) input.value = ""; };
  }, [way]);
  const save = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setRefused(null);
    const typed = url.current?.value ?? "";
    const body = {
      name, kinds: kinds.length > 0 ? (kinds as AlertKind[]) : null, min_severity: least, resolved: over,
      ...(way === "webhook" && (typed || !of) ? { url: typed } : {}),
      ...(way === "email" ? { to: to.split(/[\s,;]+/).filter(Boolean) } : {}),
    };
    try {
      if (of) {
        await ask(() => api.PUT("/api/v1/admin/alert-destinations/{id}", { params: { path: { id: of.id } }, body }));
        told.done("Saved.");
        await refresh();
        onClose();
      } else {
        const made = await ask(() => api.POST("/api/v1/admin/alert-destinations", { body: { ...body, kind: way } }));
        await refresh();
        onMade(name, made.secret ?? null);
      }
      if (url.current) url.current.value = "";
    } catch (fault) {
      setRefused(asRefused(fault));
    } finally {
      setBusy(false);
    }
  };
  return (
    <Modal opened onClose={onClose} title={of ? `Change ${of.name}` : "Add a destination"}>
      <form className="stack" onSubmit={(event) => void save(event)} autoComplete="off">
        <TextInput label="Name" value={name} onChange={(event) => setName(event.currentTarget.value)} error={refused?.of("name")} maxLength={100} required data-autofocus />
        {!of && <Select label="It is told by" value={way} onChange={(value) => setWay((value ?? "webhook") as Way)} allowDeselect={false} data={[{ value: "webhook", label: "webhook: a signed call to an address" }, { value: "email", label: "e-mail, through the settings' mail server" }, { value: "syslog", label: "syslog, to where the settings say" }]} />}
        {way === "webhook" && <TextInput ref={url} label="Address" description={of ? `Leave it empty to keep the one at ${of.address ?? "its place"}` : "It begins with https:// and is shown without its path later on"} placeholder="https://" name="destination" spellCheck={false} autoCapitalize="none" error={refused?.of("url")} required={!of} />}
        {way === "email" && <TextInput label="Recipients" description="Addresses, with commas between" value={to} onChange={(event) => setTo(event.currentTarget.value)} error={refused?.of("to")} required />}
        <MultiSelect label="Kinds" placeholder={kinds.length === 0 ? "Every kind" : ""} value={kinds} onChange={setKinds} searchable clearable clearButtonProps={{ "aria-label": "Every kind" }} data={rules.map((rule) => ({ value: rule.kind, label: nameOfKind(rule.kind) }))} error={refused?.of("kinds")} />
        <Select label="From this severity on" value={least} onChange={(value) => setLeast((value ?? "info") as Severity)} allowDeselect={false} data={["info", "warning", "critical"]} error={refused?.of("min_severity")} />
        <Checkbox checked={over} onChange={(event) => setOver(event.currentTarget.checked)} label="Tell also that a cause is gone" />
        {refused && refused.fields.length === 0 && <p className="fault" role="alert">{refused.message}</p>}
        <div className="row-end"><Button variant="default" onClick={onClose}>Cancel</Button><Button type="submit" loading={busy}>{of ? "Save" : "Add it"}</Button></div>
      </form>
    </Modal>
  );
}
