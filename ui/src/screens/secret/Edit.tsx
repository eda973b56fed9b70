// What is said of a provider's key: its name, owner and end.

import { Button, Modal, TextInput } from "@mantine/core";
import { type FormEvent, useState } from "react";
import { type Refused, type Schemas, api, ask, asRefused } from "../../api/client";
import { queries } from "../../api/queries";
import { forInput, fromInput } from "../../format";
import { told } from "../../parts/basic";

type Secret = Schemas["Secret"];

const refresh = () => queries.invalidateQueries({ queryKey: ["secrets"] });

export default function Edit({ secret, onClose }: { secret: Secret; onClose: () => void }) {
  const [name, setName] = useState(secret.name);
  const [owner, setOwner] = useState(secret.owner ?? "");
  const [ends, setEnds] = useState(secret.expires_at ? forInput(secret.expires_at) : "");
  const [refused, setRefused] = useState<Refused | null>(null);
  const save = async (event: FormEvent) => {
    event.preventDefault();
    try {
      const body = { name, owner: owner || null, expires_at: fromInput(ends) };
      await ask(() => api.PUT("/api/v1/admin/secrets/{id}", { params: { path: { id: secret.id } }, body }));
      await refresh();
      told.done("Saved.");
      onClose();
    } catch (fault) {
      setRefused(asRefused(fault));
    }
  };
  return (
    <Modal opened onClose={onClose} title="Edit">
      <form className="stack" onSubmit={(event) => void save(event)}>
        <TextInput label="Name" value={name} onChange={(event) => setName(event.currentTarget.value)} error={refused?.of("name")} required data-autofocus />
        <TextInput label="Owner" value={owner} onChange={(event) => setOwner(event.currentTarget.value)} error={refused?.of("owner")} />
        <TextInput label="Ends" type="datetime-local" value={ends} onChange={(event) => setEnds(event.currentTarget.value)} error={refused?.of("expires_at")} />
        {refused && refused.fields.length === 0 && <p className="fault" role="alert">{refused.message}</p>}
        <div className="row-end"><Button variant="default" onClick={onClose}>Cancel</Button><Button type="submit">Save</Button></div>
      </form>
    </Modal>
  );
}
