// Everything in one sealed file: what is kept, what is being made, and how it is proven.

import { Button, Modal, PasswordInput, Select, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useRef, useState } from "react";
import { type Refused, type Schemas, api, ask, asRefused, download } from "../../api/client";
import { backups, queries } from "../../api/queries";
import { bytes, exact, plural } from "../../format";
import { CodeBlock, Empty, Loaded, Mono, Panel, Status, Time, told } from "../../parts/basic";
import { DataTable, type Column } from "../../parts/DataTable";
import { may, useWho } from "../../session";

function Make({ onClose }: { onClose: () => void }) {
  const [way, setWay] = useState("kept");
  const [recipients, setRecipients] = useState("");
  const passphrase = useRef<HTMLInputElement>(null);
  const [refused, setRefused] = useState<Refused | null>(null);
  const [busy, setBusy] = useState(false);
  const go = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setRefused(null);
    const given = passphrase.current?.value;
    if (passphrase.current) passphrase.current.value = "";
    try {
      const keys = recipients.split(/[\s,]+/).filter(Boolean);
      const body = { ...(given ? { passphrase: given } : keys.length > 0 ? { recipients: keys } : {}), ...(way === "sent" ? { stream: true } : {}) };
      if (way === "kept") {
        await ask(() => api.POST("/api/v1/admin/backups", { body }));
        told.done("The backup is being made.");
      } else await download("POST", "/api/v1/admin/backups", `sealgate-${new Date().toISOString().slice(0, 10)}.backup.age`, body);
      await queries.invalidateQueries({ queryKey: ["backups"] });
      onClose();
    } catch (fault) {
      setRefused(asRefused(fault));
    } finally {
      setBusy(false);
    }
  };
  return (
    <Modal opened onClose={onClose} title="Make a backup">
      <form className="stack" onSubmit={(event) => void go(event)}>
        <Select label="It is" value={way} onChange={(value) => setWay(value ?? "kept")} allowDeselect={false} data={[{ value: "kept", label: "kept in the house's folder" }, { value: "sent", label: "sent to this browser" }]} />
        <TextInput label="Recipients" description="Public keys of age; empty: those of the settings" placeholder="age1…" value={recipients} onChange={(event) => setRecipients(event.currentTarget.value)} error={refused?.of("recipients")} />
        <PasswordInput ref={passphrase} label="Or a passphrase" autoComplete="off" data-1p-ignore error={refused?.of("passphrase")} />
        {refused && refused.fields.length === 0 && <p className="fault" role="alert">{refused.message}</p>}
        <div className="row-end"><Button variant="default" onClick={onClose}>Cancel</Button><Button type="submit" loading={busy}>Make it</Button></div>
      </form>
    </Modal>
  );
}

export function Backups() {
  const asked = useQuery(backups);
  const who = useWho();
  const [making, setMaking] = useState(false);
  const newest = asked.data?.items.map((one) => one.created_at).sort().at(-1);
  const columns: Column<Schemas["Backup"]>[] = [
    { id: "name", head: "File", sort: (row) => row.name, cell: (row) => <Mono>{row.name}</Mono> },
    { id: "made", head: "Made", sort: (row) => row.created_at, cell: (row) => <Time at={row.created_at} /> },
    { id: "bytes", head: "Size", align: "right", sort: (row) => row.bytes, cell: (row) => bytes(row.bytes) },
    { id: "faults", head: "Damage found", hide: "narrow", cell: (row) => (row.faults?.length ? <Status tone="bad" title={row.faults.join("\n")}>{plural(row.faults.length, "part")}</Status> : <span className="faint">none</span>) },
  ];
  return (
    <div className="stack">
      <Panel title="Backups" about={newest ? <>Everything in one sealed file. The newest was made <Time at={newest} as="relative" />.</> : "Everything in one sealed file: secrets, client keys, operators, the trail."} flush actions={may.administer(who.role) && <Button onClick={() => setMaking(true)}>Make a backup</Button>}>
        <Loaded of={asked} what="Backups">
          {(found) => (
            <>
              {found.making.map((one) => <div key={one.id} className="meter meter-inset"><p className="meter-head"><span>Being made</span><span className="num">{exact(one.rows)} of {exact(one.total)} rows</span></p><progress className="meter-bar meter-good" max={Math.max(one.total, 1)} value={one.rows} aria-label="Backup" /></div>)}
              {found.items.length === 0 && found.making.length === 0 ? <Empty icon="down" title="No backup yet">Without one, a lost disk loses every provider key.</Empty> : <DataTable label="Backups" rows={found.items} columns={columns} keyOf={(row) => row.name} first={{ id: "made", desc: true }} />}
            </>
          )}
        </Loaded>
      </Panel>
      <Panel title="Is it of use?" about="A backup that was never read back is a hope. Read one back twice a year, and whenever those who hold the keys to it change.">
        <div className="stack-tight">
          <p className="muted small">The first reads the whole file, opens every envelope and recomputes the trail, away from this house. The second is the drill: on another machine, into an empty installation.</p>
          <CodeBlock text={"sealgate backup verify FILE --identity recovery.key\nsealgate backup restore FILE --identity recovery.key"} label="commands of the restore drill" />
        </div>
      </Panel>
      {making && <Make onClose={() => setMaking(false)} />}
    </div>
  );
}
