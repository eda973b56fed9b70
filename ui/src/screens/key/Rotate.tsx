// A client key gets a new value, and the former one is taken for a while.

import { Button, Modal, Select } from "@mantine/core";
import { useState } from "react";
import { type Refused, type Schemas, api, ask, asRefused } from "../../api/client";
import { queries } from "../../api/queries";
import { Time } from "../../parts/basic";
import { Shown } from "../../parts/Shown";
import { likeliest } from "../../snippet";

type ClientKey = Schemas["ClientKey"];
const refresh = () => queries.invalidateQueries({ queryKey: ["keys"] });

export default function Rotate({ of, onClose }: { of: ClientKey; onClose: () => void }) {
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
          <Shown made={made} providers={[{ id: likeliest(of.scopes) }]} />
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
