// A provider's key gets a new value: staged and judged, or at once. What is typed stays in its fields. Must never copy it
// into state.

import { Button, Modal, Select } from "@mantine/core";
import { type FormEvent, useEffect, useRef, useState } from "react";
import { type Refused, type Schemas, asRefused, send } from "../../api/client";
import { queries } from "../../api/queries";
import { Icon } from "../../icons";
import { Time, told } from "../../parts/basic";
import { Confirm } from "../../parts/confirm";
import { lastUse } from "../../parts/marks";
import { SecretField } from "../../parts/SecretField";
import { Steps } from "../../parts/Steps";

type Secret = Schemas["Secret"];

const refresh = () => queries.invalidateQueries({ queryKey: ["secrets"] });

export default function Replace({ secret, provider, all, onClose }: { secret: Secret; provider: Schemas["Provider"]; all: Schemas["Provider"][]; onClose: () => void }) {
  const fields = useRef(new Map<string, HTMLInputElement>());
  const [pace, setPace] = useState("careful");
  const [unasked, setUnasked] = useState(false);
  const [busy, setBusy] = useState(false);
  const [refused, setRefused] = useState<Refused | null>(null);
  const [sure, setSure] = useState(false);
  useEffect(() => {
    const held = fields.current;
    return () => held.forEach((input) => { input.value = ""; });
  }, []);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    // The former value is destroyed by it: asked once more, and what was typed stays in its fields meanwhile.
    if (pace === "now") setSure(true);
    else void begin();
  };
  const begin = async () => {
    const values: Record<string, string> = {};
    for (const field of provider.fields) {
      const input = fields.current.get(field);
      values[field] = input?.value ?? "";
      if (input) input.value = "";
    }
    setBusy(true);
    setRefused(null);
    const how = pace === "now" ? { now: true } : pace === "quick" ? { strategy: { steps: [10, 100], hold_seconds: 60 } } : {};
    try {
      await send("POST", `/api/v1/admin/secrets/${secret.id}/versions`, { fields: values, validate: !unasked, ...how });
      await refresh();
      told.done(pace === "now" ? "The new key serves all calls." : "The new key is taking over.");
      onClose();
    } catch (fault) {
      setRefused(asRefused(fault));
    } finally {
      setBusy(false);
    }
  };
  return (
    <Modal opened onClose={onClose} title="Replace this key" size="lg">
      <form className="stack" onSubmit={submit} autoComplete="off">
        <p className="muted">Get a new key from {provider.title} and leave the former one valid. The new one takes over while callers call; if it is bad, it is rolled back by itself and nobody notices.</p>
        {refused && !refused.fields.some((fault) => fault.field.startsWith("fields.")) && <p className="fault" role="alert"><Icon name="warn" size={16} /> {refused.message}</p>}
        {refused?.report && <Steps steps={refused.report.steps} />}
        {provider.fields.map((field, at) => (
          <SecretField key={field} field={field} own={provider} all={all} autoFocus={at === 0} error={refused?.fields.find((fault) => fault.field === `fields.${field}`)?.fault} ref={(input) => { if (input) fields.current.set(field, input); }} />
        ))}
        <Select label="How fast" value={pace} onChange={(value) => setPace(value ?? "careful")} allowDeselect={false}
          data={[{ value: "careful", label: "1, 10, 50, 100 % of the calls, five minutes each" }, { value: "quick", label: "10, 100 %, one minute each" }, { value: "now", label: "at once: the former one has leaked, and is destroyed" }]} />
        <label className="row-tight"><input type="checkbox" checked={unasked} onChange={(event) => setUnasked(event.currentTarget.checked)} />Do not ask the provider first; judge it by what it does</label>
        <div className="row-end"><Button variant="default" onClick={onClose}>Cancel</Button><Button type="submit" loading={busy} color={pace === "now" ? "red" : undefined}>{pace === "now" ? "Replace at once" : "Check and begin"}</Button></div>
      </form>
      {sure && (
        <Confirm title="Destroy the former key now?" action="Replace and destroy" typed={secret.name} onClose={() => setSure(false)} act={begin}>
          <p>The new key serves every call from this moment on, without steps and without a way back: the former value is overwritten, and streams opened with it are cut.</p>
          {unasked && <p className="text-bad">{provider.title} is not asked about the new key first. If it is bad, every call fails.</p>}
          <p className="muted">Last use of the former one: <Time at={lastUse(secret)} as="relative" /></p>
        </Confirm>
      )}
    </Modal>
  );
}
