// What keeps the house safe: the keys that seal, the seal itself, backups, operators and their sessions.

import { Button, Modal, PasswordInput, Select, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import { type FormEvent, useRef, useState } from "react";
import { Refused, type Schemas, api, ask, asRefused, headers, send } from "../api/client";
import { backups, integrity, keks, queries, ready } from "../api/queries";
import { bytes, exact, plural, sentence } from "../format";
import { Icon } from "../icons";
import { Confirm } from "../parts/confirm";
import { Copy, Empty, Loaded, Mono, Page, Panel, Status, Tag, Time, told, toneOf } from "../parts/basic";
import { DataTable, type Column } from "../parts/DataTable";
import { tabs } from "../router";
import { may, useStanding, useWho } from "../session";
import { Recovery } from "../shell/Enrol";

const names: Record<(typeof tabs)[number], string> = { keys: "Key hierarchy", seal: "Seal", backups: "Backups", operators: "Operators", sessions: "Sessions" };

export function Security() {
  const { tab = "keys" } = useParams({ strict: false }) as { tab?: (typeof tabs)[number] };
  const standing = useStanding();
  const hasSessions = standing.data?.by === "session" || (standing.data?.by === "key" && hasOperators);
  const shown = tabs.filter((one) => hasSessions || (one !== "operators" && one !== "sessions"));
  return (
    <Page title="Security" name={names[tab] ?? "Security"}>
      <nav className="tabs" aria-label="Security">
        {shown.map((one) => <Link key={one} to="/security/$tab" params={{ tab: one }} className={`tab ${one === tab ? "tab-here" : ""}`} aria-current={one === tab ? "page" : undefined}>{names[one]}</Link>)}
      </nav>
      {tab === "seal" ? <Seal /> : tab === "backups" ? <Backups /> : tab === "operators" ? <Operators /> : tab === "sessions" ? <Sessions /> : <Hierarchy />}
    </Page>
  );
}

/** Whether this house has operators' accounts is told by its session call; a key alone does not see it. */
const hasOperators = false;

const after = (kind: string) => queries.invalidateQueries({ queryKey: [kind] });

function Job({ job }: { job: Schemas["Job"] }) {
  const share = job.total > 0 ? job.done / job.total : job.state === "done" ? 1 : 0;
  return (
    <Panel title={job.kind === "master_key" ? "Another master key" : sentence(job.kind)} about={job.outcome ?? (job.node ? `on node ${job.node.slice(0, 13)}` : "waits for a node")}>
      <div className="meter">
        <p className="meter-head"><Status tone={toneOf(job.state)}>{job.state}</Status><span className="num">{exact(job.done)} of {exact(job.total)}</span></p>
        <progress className={`meter-bar meter-${job.state === "failed" ? "bad" : "good"}`} max={1} value={share} aria-label="Progress" />
        <p className="faint small">Begun <Time at={job.created_at} as="relative" />{job.finished_at && <>, ended <Time at={job.finished_at} as="relative" /></>}</p>
      </div>
    </Panel>
  );
}

function Hierarchy() {
  const asked = useQuery(keks);
  const sound = useQuery(integrity);
  const who = useWho();
  const [doing, setDoing] = useState<{ kind: "rotate" | "rekey" | "rewrap"; category?: string } | null>(null);
  const run = async () => {
    if (!doing) return;
    if (doing.kind === "rotate") await ask(() => api.POST("/api/v1/admin/keks/rotate", { body: doing.category ? { category: doing.category } : {} }));
    else if (doing.kind === "rewrap") await ask(() => api.POST("/api/v1/admin/keks/rewrap", {}));
    else await ask(() => api.POST("/api/v1/admin/keks/rekey", {}));
    await after("keks");
    told.done(doing.kind === "rotate" ? "A new generation seals from now on." : "It has begun; calls go on meanwhile.");
  };
  return (
    <Loaded of={asked} what="The key hierarchy">
      {(found) => {
        const categories = [...new Set(found.items.map((item) => item.category))].sort();
        const master = found.items.find((item) => item.state === "active")?.master_kind ?? "";
        return (
          <div className="stack">
            {[...found.faults, ...(found.job_fault ? [found.job_fault] : [])].map((fault) => <div key={fault} className="banner banner-bad" role="status"><Icon name="warn" /><span>{fault}</span></div>)}
            {found.job && found.job.state !== "done" && <Job job={found.job} />}
            <Panel title="What seals what" about="The master key wraps one key for each category; that wraps a key for each secret."
              actions={may.administer(who.role) && (
                <>
                  <Button variant="default" size="xs" onClick={() => setDoing({ kind: "rewrap" })}>Rewrap</Button>
                  <Button variant="default" size="xs" onClick={() => setDoing({ kind: "rekey" })}>Rekey</Button>
                  <Button variant="default" size="xs" onClick={() => setDoing({ kind: "rotate" })}>Rotate all</Button>
                </>
              )}>
              <div className="tree">
                <div className="tree-root"><span className="node node-master"><Icon name="lock" /><span><strong>Master key</strong><span className="faint small">{sentence(master) || "none"}</span></span></span></div>
                <ul className="tree-branches">
                  {categories.map((category) => {
                    const generations = found.items.filter((item) => item.category === category).sort((a, b) => b.generation - a.generation);
                    return (
                      <li key={category}>
                        <div className="node-head"><h3>{sentence(category).replace("-", " ").replace(/^Ai$/, "AI")}</h3>{may.administer(who.role) && <Button size="compact-xs" variant="subtle" onClick={() => setDoing({ kind: "rotate", category })} aria-label={`Rotate ${category}`}>Rotate</Button>}</div>
                        <ul className="generations">
                          {generations.map((item) => (
                            <li key={item.id} className={`node generation generation-${item.state}`}>
                              <span className="num"><strong>{item.generation}</strong></span>
                              <Status tone={toneOf(item.state)}>{item.state}</Status>
                              <span className="muted small">{plural(item.secrets, "secret")}</span>
                              <span className="faint small">{item.age_days === 0 ? "made today" : `${plural(item.age_days, "day")} old`}</span>
                            </li>
                          ))}
                        </ul>
                      </li>
                    );
                  })}
                </ul>
              </div>
            </Panel>
            <Panel title="Are all rows as they were left?">
              <Loaded of={sound} what="This" rows={1}>
                {(told) => told.ok ? <Status tone="good">Every row is as Sealgate left it</Status> : <ul className="findings">{told.findings.map((finding) => <li key={finding}>{finding}</li>)}</ul>}
              </Loaded>
            </Panel>
            {doing && (
              <Confirm title={doing.kind === "rotate" ? `Rotate ${doing.category ?? "every category"}?` : doing.kind === "rewrap" ? "Rewrap?" : "Rekey?"} action={sentence(doing.kind)} danger={doing.kind === "rekey"} onClose={() => setDoing(null)} act={run}>
                <p>{doing.kind === "rotate" ? "A new generation of the key-encryption key is made and seals from now on. Older ones go on opening what hangs on them until they are rewrapped." : doing.kind === "rewrap" ? "Data keys that hang on older generations are wrapped anew. No value is opened, no call waits." : "Every secret gets a new data key, and its value is sealed anew. Calls go on."}</p>
              </Confirm>
            )}
          </div>
        );
      }}
    </Loaded>
  );
}

function Seal() {
  const asked = useQuery(ready);
  const who = useWho();
  const [sealing, setSealing] = useState(false);
  const [fault, setFault] = useState("");
  const [busy, setBusy] = useState(false);
  const passphrase = useRef<HTMLInputElement>(null);
  const vault = asked.data?.parts.find((part) => part.name === "vault");
  const isSealed = vault ? !vault.ready : false;
  const unseal = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setFault("");
    const given = passphrase.current?.value;
    if (passphrase.current) passphrase.current.value = "";
    try {
      await ask(() => api.POST("/api/v1/admin/unseal", { body: given ? { passphrase: given } : {} }));
      await queries.invalidateQueries();
      told.done("Unsealed. Calls pass again.");
    } catch (refused) {
      setFault(asRefused(refused).message);
    } finally {
      setBusy(false);
    }
  };
  return (
    <Loaded of={asked} what="The state">
      {() => (
        <div className="narrow">
          <Panel>
            <div className={`seal-state ${isSealed ? "seal-shut" : "seal-open"}`}>
              <span className="seal-mark"><Icon name={isSealed ? "lock" : "shield"} size={28} /></span>
              <div>
                <h2>{isSealed ? "Sealed" : "Open"}</h2>
                <p className="muted">{isSealed ? (vault?.detail ?? "Every key was dropped from memory.") : "Keys are in memory, and calls pass."}</p>
              </div>
            </div>
            {may.administer(who.role) ? (
              isSealed ? (
                <form className="stack" onSubmit={(event) => void unseal(event)}>
                  <PasswordInput ref={passphrase} label="Passphrase" description="Only where the master key is held by a passphrase that the settings do not name" autoComplete="off" data-1p-ignore />
                  {fault && <p className="fault" role="alert">{fault}</p>}
                  <div><Button type="submit" loading={busy}>Unseal</Button></div>
                </form>
              ) : (
                <div className="stack-tight">
                  <p>Sealing cuts every call under way and drops every key from memory at once. Until somebody unseals, the proxy answers 503. Do it where you suspect that somebody is inside.</p>
                  <div><Button color="red" leftSection={<Icon name="lock" size={16} />} onClick={() => setSealing(true)}>Seal now</Button></div>
                </div>
              )
            ) : <p className="muted small">An administrator seals and unseals.</p>}
          </Panel>
          {sealing && (
            <Confirm title="Seal now?" action="Seal" typed="seal" onClose={() => setSealing(false)}
              act={async () => { await ask(() => api.POST("/api/v1/admin/seal", {})); await queries.invalidateQueries(); }}>
              <p>Every call under way is cut, and all callers get 503 until somebody unseals.</p>
            </Confirm>
          )}
        </div>
      )}
    </Loaded>
  );
}

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
      } else {
        const response = await fetch("/api/v1/admin/backups", { method: "POST", headers: headers({ "Content-Type": "application/json" }), body: JSON.stringify(body) });
        if (!response.ok) throw await Refused.of(response);
        const link = document.createElement("a");
        link.href = URL.createObjectURL(await response.blob());
        link.download = `sealgate-${new Date().toISOString().slice(0, 10)}.backup.age`;
        link.click();
        URL.revokeObjectURL(link.href);
      }
      await after("backups");
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

function Backups() {
  const asked = useQuery(backups);
  const who = useWho();
  const [making, setMaking] = useState(false);
  const columns: Column<Schemas["Backup"]>[] = [
    { id: "name", head: "File", sort: (row) => row.name, cell: (row) => <Mono>{row.name}</Mono> },
    { id: "made", head: "Made", sort: (row) => row.created_at, cell: (row) => <Time at={row.created_at} /> },
    { id: "bytes", head: "Size", align: "right", sort: (row) => row.bytes, cell: (row) => bytes(row.bytes) },
    { id: "faults", head: "Damage found", hide: "narrow", cell: (row) => (row.faults?.length ? <Status tone="bad" title={row.faults.join("\n")}>{plural(row.faults.length, "part")}</Status> : <span className="faint">none</span>) },
  ];
  return (
    <div className="stack">
      <Panel title="Backups" about="Everything in one sealed file: secrets, client keys, operators, the trail." flush actions={may.administer(who.role) && <Button onClick={() => setMaking(true)}>Make a backup</Button>}>
        <Loaded of={asked} what="Backups">
          {(found) => (
            <>
              {found.making.map((one) => <div key={one.id} className="meter meter-inset"><p className="meter-head"><span>Being made</span><span className="num">{exact(one.rows)} of {exact(one.total)} rows</span></p><progress className="meter-bar meter-good" max={Math.max(one.total, 1)} value={one.rows} aria-label="Backup" /></div>)}
              {found.items.length === 0 && found.making.length === 0 ? <Empty icon="down" title="No backup yet">Without one, a lost disk loses every provider key.</Empty> : <DataTable label="Backups" rows={found.items} columns={columns} keyOf={(row) => row.name} first={{ id: "made", desc: true }} />}
            </>
          )}
        </Loaded>
      </Panel>
      <p className="muted small">A backup is proved by restoring it: <Mono>sealgate backup verify FILE</Mono> reads it whole, <Mono>sealgate backup restore FILE</Mono> brings it back into an empty installation.</p>
      {making && <Make onClose={() => setMaking(false)} />}
    </div>
  );
}

interface OperatorRow {
  id: string;
  name: string;
  role: Schemas["Role"];
  email?: string | null;
  state?: string;
  active?: boolean;
  created_at?: string;
  last_seen?: string | null;
}
interface Invited {
  invitation: string;
  expires_at: string;
}

function Invitation({ invited, name, onClose }: { invited: Invited; name: string; onClose: () => void }) {
  const link = `${location.origin}/console/invitation#${encodeURIComponent(invited.invitation)}`;
  return (
    <Modal opened onClose={onClose} title={`Invitation of ${name}`} size="lg">
      <div className="stack">
        <p className="muted">Give this link to {name} by a way that nobody else reads. It is shown this once and holds until <Time at={invited.expires_at} />.</p>
        <div className="key-line"><code>{link}</code><Copy text={link} label="Copy the link" /></div>
        <div className="row-end"><Button onClick={onClose}>Done</Button></div>
      </div>
    </Modal>
  );
}

function Operators() {
  const asked = useQuery({ queryKey: ["operators"], queryFn: () => send<{ items: OperatorRow[] }>("GET", "/api/v1/admin/operators") });
  const who = useWho();
  const [inviting, setInviting] = useState(false);
  const [invited, setInvited] = useState<(Invited & { name: string }) | null>(null);
  const [doing, setDoing] = useState<{ kind: "remove" | "reset"; row: OperatorRow } | null>(null);
  const columns: Column<OperatorRow>[] = [
    { id: "name", head: "Name", sort: (row) => row.name, cell: (row) => <>{row.name}{row.id === who.id && <> <Tag>you</Tag></>}</> },
    { id: "role", head: "Role", sort: (row) => row.role, cell: (row) => row.role },
    { id: "state", head: "State", cell: (row) => <Status tone={row.state === "invited" ? "info" : row.state && row.state !== "active" ? "quiet" : "good"}>{row.state ?? "active"}</Status> },
    { id: "email", head: "E-mail", hide: "medium", cell: (row) => row.email ?? <span className="faint">–</span> },
    { id: "made", head: "Made", hide: "narrow", cell: (row) => <Time at={row.created_at} as="day" /> },
    { id: "acts", head: "", align: "right", cell: (row) => may.administer(who.role) && <span className="row-end nowrap"><Button size="compact-xs" variant="subtle" onClick={() => setDoing({ kind: "reset", row })}>Reset</Button><Button size="compact-xs" variant="subtle" color="red" onClick={() => setDoing({ kind: "remove", row })}>Remove</Button></span> },
  ];
  return (
    <Panel title="Operators" about="Who signs in here. Client keys are something else." flush actions={may.administer(who.role) && <Button onClick={() => setInviting(true)} leftSection={<Icon name="plus" size={16} />}>Invite</Button>}>
      <Loaded of={asked} what="Operators">{({ items }) => <DataTable label="Operators" rows={items} columns={columns} keyOf={(row) => row.id} first={{ id: "name" }} />}</Loaded>
      {inviting && <Invite onClose={() => setInviting(false)} onMade={(made, name) => { setInviting(false); setInvited({ ...made, name }); void after("operators"); }} />}
      {invited && <Invitation invited={invited} name={invited.name} onClose={() => setInvited(null)} />}
      {doing && (
        <Confirm title={doing.kind === "remove" ? `Remove ${doing.row.name}?` : `Reset ${doing.row.name}?`} action={sentence(doing.kind)} typed={doing.kind === "remove" ? doing.row.name : undefined} onClose={() => setDoing(null)}
          act={async () => {
            if (doing.kind === "remove") await send("DELETE", `/api/v1/admin/operators/${doing.row.id}`);
            else setInvited({ ...(await send<Invited>("POST", `/api/v1/admin/operators/${doing.row.id}/reset`, {})), name: doing.row.name });
            await after("operators");
          }}>
          <p>{doing.kind === "remove" ? "The account and its sessions end at once. Its records stay." : "Password and second factor become void and all sessions end; a new invitation leads back in."}</p>
        </Confirm>
      )}
    </Panel>
  );
}

function Invite({ onClose, onMade }: { onClose: () => void; onMade: (made: Invited, name: string) => void }) {
  const [name, setName] = useState("");
  const [email, setEmail] = useState("");
  const [role, setRole] = useState("operator");
  const [refused, setRefused] = useState<Refused | null>(null);
  const go = async (event: FormEvent) => {
    event.preventDefault();
    try {
      onMade(await send<Invited>("POST", "/api/v1/admin/operators", { name, role, ...(email ? { email } : {}) }), name);
    } catch (fault) {
      setRefused(asRefused(fault));
    }
  };
  return (
    <Modal opened onClose={onClose} title="Invite an operator">
      <form className="stack" onSubmit={(event) => void go(event)}>
        <TextInput label="Name" value={name} onChange={(event) => setName(event.currentTarget.value)} error={refused?.of("name")} required data-autofocus />
        <TextInput label="E-mail" description="Optional" type="email" value={email} onChange={(event) => setEmail(event.currentTarget.value)} error={refused?.of("email")} />
        <Select label="Role" value={role} onChange={(value) => setRole(value ?? "operator")} data={["admin", "operator", "auditor"]} allowDeselect={false} error={refused?.of("role")} />
        {refused && refused.fields.length === 0 && <p className="fault" role="alert">{refused.message}</p>}
        <div className="row-end"><Button variant="default" onClick={onClose}>Cancel</Button><Button type="submit">Make an invitation</Button></div>
      </form>
    </Modal>
  );
}

interface SessionRow {
  id: string;
  operator: string | { id: string; name: string };
  address: string | null;
  user_agent: string | null;
  created_at: string;
  last_seen: string;
  current: boolean;
}

const browserOf = (agent: string | null) => {
  const found = agent?.match(/(Edg|OPR|Firefox|Chrome|Safari)\/(\d+)/);
  const system = agent?.match(/Windows|Mac OS X|Android|iPhone|Linux/)?.[0];
  return found ? `${found[1] === "Edg" ? "Edge" : found[1] === "OPR" ? "Opera" : found[1]} ${found[2]}${system ? `, ${system.replace(" OS X", "OS")}` : ""}` : (agent ?? "unknown").slice(0, 40);
};

function Password() {
  const [refused, setRefused] = useState<Refused | null>(null);
  const [said, setSaid] = useState("");
  const [busy, setBusy] = useState(false);
  const form = useRef<HTMLFormElement>(null);
  const go = async (event: FormEvent) => {
    event.preventDefault();
    const given = new FormData(form.current ?? undefined);
    if (given.get("new") !== given.get("again")) return setSaid("The two new passwords differ.");
    setBusy(true);
    setSaid("");
    setRefused(null);
    try {
      await send("PUT", "/api/v1/session/password", { old: given.get("old"), new: given.get("new"), code: String(given.get("code")).replaceAll(/\s/g, "") });
      form.current?.reset();
      await after("sessions");
      told.done("Changed. Your other sessions have ended.");
    } catch (fault) {
      setRefused(asRefused(fault));
    } finally {
      setBusy(false);
    }
  };
  return (
    <Panel title="Password" about="Changing it ends your other sessions.">
      <form ref={form} className="stack" onSubmit={(event) => void go(event)}>
        <PasswordInput name="old" label="Present password" autoComplete="current-password" required error={refused?.of("old")} />
        <PasswordInput name="new" label="New password" autoComplete="new-password" required minLength={12} error={refused?.of("new")} />
        <PasswordInput name="again" label="The same again" autoComplete="new-password" required />
        <TextInput name="code" label="Code" autoComplete="one-time-code" inputMode="numeric" required error={refused?.of("code")} />
        {(said || (refused && refused.fields.length === 0)) && <p className="fault" role="alert">{said || refused?.message}</p>}
        <div><Button type="submit" variant="default" loading={busy}>Change</Button></div>
      </form>
    </Panel>
  );
}

function Codes() {
  const [codes, setCodes] = useState<string[] | null>(null);
  const [fault, setFault] = useState("");
  const code = useRef<HTMLInputElement>(null);
  const go = async (event: FormEvent) => {
    event.preventDefault();
    try {
      setCodes((await send<{ recovery_codes: string[] }>("POST", "/api/v1/session/recovery-codes", { code: code.current?.value.replaceAll(/\s/g, "") })).recovery_codes);
      setFault("");
    } catch (refused) {
      setFault(asRefused(refused).message);
    }
  };
  return (
    <Panel title="Recovery codes" about="New ones make the former void.">
      {codes ? <Recovery codes={codes} action="Done" onDone={() => setCodes(null)} /> : (
        <form className="stack" onSubmit={(event) => void go(event)}>
          <TextInput ref={code} label="Code" autoComplete="one-time-code" inputMode="numeric" required error={fault} />
          <div><Button type="submit" variant="default">Make new codes</Button></div>
        </form>
      )}
    </Panel>
  );
}

function Sessions() {
  const who = useWho();
  const [all, setAll] = useState(false);
  const path = all ? "/api/v1/admin/sessions?operator=" : "/api/v1/admin/sessions";
  const asked = useQuery({ queryKey: ["sessions", path], queryFn: () => send<{ items: SessionRow[] }>("GET", path) });
  const end = async (id: string) => {
    await send("DELETE", `/api/v1/admin/sessions/${id}`);
    await after("sessions");
    told.done("Ended.");
  };
  const columns: Column<SessionRow>[] = [
    { id: "browser", head: "Browser", cell: (row) => <span title={row.user_agent ?? ""}>{browserOf(row.user_agent)}{row.current && <> <Tag>this one</Tag></>}</span> },
    { id: "who", head: "Operator", hide: "narrow", cell: (row) => (typeof row.operator === "string" ? row.operator : row.operator.name) },
    { id: "from", head: "From", hide: "narrow", cell: (row) => row.address ?? "–" },
    { id: "begun", head: "Begun", hide: "medium", sort: (row) => row.created_at, cell: (row) => <Time at={row.created_at} /> },
    { id: "seen", head: "Last seen", sort: (row) => row.last_seen, cell: (row) => <Time at={row.last_seen} as="relative" /> },
    { id: "end", head: "", align: "right", cell: (row) => !row.current && <Button size="compact-xs" variant="subtle" color="red" onClick={() => void end(row.id).catch(told.refused)}>End</Button> },
  ];
  return (
    <div className="stack">
      <Panel title="Sessions" flush actions={may.administer(who.role) && <Button variant="default" size="xs" onClick={() => setAll(!all)}>{all ? "Only yours" : "Everybody's"}</Button>}>
        <Loaded of={asked} what="Sessions">{({ items }) => <DataTable label="Sessions" rows={items} columns={columns} keyOf={(row) => row.id} first={{ id: "seen", desc: true }} />}</Loaded>
      </Panel>
      <div className="columns"><Password /><Codes /></div>
    </div>
  );
}
