// The accounts of the console: invited, changed, reset, removed. Whoever makes one never knows its password or codes.

import { Button, Menu, Modal, Select, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { type Refused, type Schemas, api, ask, asRefused } from "../../api/client";
import { operators, queries } from "../../api/queries";
import { sentence } from "../../format";
import { Icon } from "../../icons";
import { Copy, Loaded, Panel, Status, Tag, Time, type Tone, told } from "../../parts/basic";
import { Confirm } from "../../parts/confirm";
import { DataTable, type Column } from "../../parts/DataTable";
import { useNames } from "../../parts/who";
import { may, useWho } from "../../session";

type Operator = Schemas["Operator"];
type Invited = Schemas["OperatorInvited"];
type Role = Schemas["RoleOfOperator"];

const refresh = () => queries.invalidateQueries({ queryKey: ["operators"] });

const roles: { value: Role; label: string }[] = [
  { value: "admin", label: "admin: everything, operators and the seal among it" },
  { value: "operator", label: "operator: provider keys, client keys, market data" },
  { value: "auditor", label: "auditor: reads everything, changes nothing" },
];

const stateOf = ({ fault, state }: Operator): { tone: Tone; word: string } =>
  fault ? { tone: "bad", word: "edited" } : state === "active" ? { tone: "good", word: state } : state === "invited" ? { tone: "info", word: state } : { tone: "warn", word: "invitation expired" };

function Invitation({ invited, onClose }: { invited: Invited; onClose: () => void }) {
  const { name } = invited.operator;
  const link = `${location.origin}/console/invitation#${encodeURIComponent(invited.invitation)}`;
  return (
    <Modal opened onClose={onClose} title={`Invitation of ${name}`} size="lg" closeOnClickOutside={false}>
      <div className="stack">
        <p className="muted">Give this link to {name} by a way that nobody else reads. It is shown this once and holds until <Time at={invited.expires_at} />. Password and authenticator are chosen by whoever opens it.</p>
        <div className="key-line"><code>{link}</code><Copy text={link} label="Copy the link" /></div>
        <div className="row-end"><Button onClick={onClose}>Done</Button></div>
      </div>
    </Modal>
  );
}

function Invite({ onClose, onMade }: { onClose: () => void; onMade: (made: Invited) => void }) {
  const [name, setName] = useState("");
  const [email, setEmail] = useState("");
  const [role, setRole] = useState<Role>("operator");
  const [refused, setRefused] = useState<Refused | null>(null);
  const [busy, setBusy] = useState(false);
  const go = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setRefused(null);
    try {
      onMade(await ask(() => api.POST("/api/v1/admin/operators", { body: { name, role, ...(email ? { email } : {}) } })));
    } catch (fault) {
      setRefused(asRefused(fault));
      setBusy(false);
    }
  };
  return (
    <Modal opened onClose={onClose} title="Invite an operator">
      <form className="stack" onSubmit={(event) => void go(event)}>
        <TextInput label="Name" description="What is typed to sign in" value={name} onChange={(event) => setName(event.currentTarget.value)} error={refused?.of("name")} autoCapitalize="none" spellCheck={false} required data-autofocus />
        <TextInput label="E-mail" description="Optional" type="email" value={email} onChange={(event) => setEmail(event.currentTarget.value)} error={refused?.of("email")} />
        <Select label="Role" value={role} onChange={(value) => setRole((value ?? "operator") as Role)} data={roles} allowDeselect={false} error={refused?.of("role")} />
        {refused && refused.fields.length === 0 && <p className="fault" role="alert">{refused.message}</p>}
        <div className="row-end"><Button variant="default" onClick={onClose}>Cancel</Button><Button type="submit" loading={busy}>Make an invitation</Button></div>
      </form>
    </Modal>
  );
}

function Change({ of, onClose }: { of: Operator; onClose: () => void }) {
  const [email, setEmail] = useState(of.email ?? "");
  const [role, setRole] = useState<Role>(of.role);
  const [refused, setRefused] = useState<Refused | null>(null);
  const [busy, setBusy] = useState(false);
  const go = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setRefused(null);
    try {
      const body = { email: email || null, ...(role === of.role ? {} : { role }) };
      await ask(() => api.PUT("/api/v1/admin/operators/{id}", { params: { path: { id: of.id } }, body }));
      await refresh();
      told.done(role === of.role ? "Saved." : `${of.name} is ${role} from now on and has to sign in anew.`);
      onClose();
    } catch (fault) {
      setRefused(asRefused(fault));
      setBusy(false);
    }
  };
  return (
    <Modal opened onClose={onClose} title={`Change ${of.name}`}>
      <form className="stack" onSubmit={(event) => void go(event)}>
        <Select label="Role" description="Another one ends every session of this operator" value={role} onChange={(value) => setRole((value ?? of.role) as Role)} data={roles} allowDeselect={false} error={refused?.of("role")} data-autofocus />
        <TextInput label="E-mail" type="email" value={email} onChange={(event) => setEmail(event.currentTarget.value)} error={refused?.of("email")} />
        {refused && refused.fields.length === 0 && <p className="fault" role="alert">{refused.message}</p>}
        <div className="row-end"><Button variant="default" onClick={onClose}>Cancel</Button><Button type="submit" loading={busy}>Save</Button></div>
      </form>
    </Modal>
  );
}

export function Operators() {
  const asked = useQuery(operators);
  const named = useNames();
  const who = useWho();
  const [inviting, setInviting] = useState(false);
  const [invited, setInvited] = useState<Invited | null>(null);
  const [doing, setDoing] = useState<{ kind: "change" | "remove" | "reset"; row: Operator } | null>(null);
  const columns: Column<Operator>[] = [
    { id: "name", head: "Name", sort: (row) => row.name, cell: (row) => <><strong>{row.name}</strong>{row.id === who.id && <> <Tag>you</Tag></>}</> },
    { id: "role", head: "Role", sort: (row) => row.role, cell: (row) => row.role },
    { id: "state", head: "State", hide: "narrow", sort: (row) => row.state, cell: (row) => <span className="row-wrap"><Status tone={stateOf(row).tone} title={row.fault ?? undefined}>{stateOf(row).word}</Status>{row.state === "invited" && <span className="faint small">until <Time at={row.invitation_expires_at} /></span>}</span> },
    { id: "email", head: "E-mail", hide: "medium", cell: (row) => row.email ?? <span className="faint">–</span> },
    { id: "made", head: "Made", hide: "medium", sort: (row) => row.created_at, cell: (row) => <><Time at={row.created_at} as="day" /> <span className="faint small">by {named(row.created_by)}</span></> },
    {
      id: "acts", head: "", align: "right", cell: (row) => (
        <Menu position="bottom-end">
          <Menu.Target><Button variant="subtle" color="gray" size="compact-sm" aria-label={`Actions on ${row.name}`}><Icon name="dots" /></Button></Menu.Target>
          <Menu.Dropdown>
            {!row.fault && <Menu.Item onClick={() => setDoing({ kind: "change", row })}>Change</Menu.Item>}
            {!row.fault && <Menu.Item onClick={() => setDoing({ kind: "reset", row })}>{row.state === "active" ? "Reset" : "Invite anew"}</Menu.Item>}
            <Menu.Divider />
            <Menu.Item color="red" onClick={() => setDoing({ kind: "remove", row })}>Remove</Menu.Item>
          </Menu.Dropdown>
        </Menu>
      ),
    },
  ];
  return (
    <Panel title="Operators" about="Who signs in here. A client key opens no console, and an operator calls no provider." flush actions={may.administer(who.role) && <Button onClick={() => setInviting(true)} leftSection={<Icon name="plus" size={16} />}>Invite</Button>}>
      <Loaded of={asked} what="Operators">{(items) => <DataTable label="Operators" rows={items} columns={columns} keyOf={(row) => row.id} first={{ id: "name" }} />}</Loaded>
      {inviting && <Invite onClose={() => setInviting(false)} onMade={(made) => { setInviting(false); setInvited(made); void refresh(); }} />}
      {invited && <Invitation invited={invited} onClose={() => setInvited(null)} />}
      {doing?.kind === "change" && <Change of={doing.row} onClose={() => setDoing(null)} />}
      {doing && doing.kind !== "change" && (
        <Confirm title={`${sentence(doing.kind)} ${doing.row.name}?`} action={sentence(doing.kind)} typed={doing.kind === "remove" ? doing.row.name : undefined} onClose={() => setDoing(null)}
          act={async () => {
            const params = { path: { id: doing.row.id } };
            if (doing.kind === "remove") {
              await ask(() => api.DELETE("/api/v1/admin/operators/{id}", { params }));
              told.done(`${doing.row.name} is removed.`);
            } else setInvited(await ask(() => api.POST("/api/v1/admin/operators/{id}/reset", { params })));
            await refresh();
          }}>
          <p>{doing.kind === "remove" ? "The account and its sessions end at once. Its records stay in the trail." : "Password, authenticator and recovery codes become void and every session ends; a new invitation leads back in."}</p>
          {doing.row.id === who.id && <p className="text-bad">This is your own account.</p>}
        </Confirm>
      )}
    </Panel>
  );
}
