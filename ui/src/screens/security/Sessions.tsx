// One's own account: where one is signed in, the password, the recovery codes. An admin sees the sessions of all.

import { Button, PasswordInput, SegmentedControl, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useRef, useState } from "react";
import { type Refused, type Schemas, api, ask, asRefused } from "../../api/client";
import { queries, sessions } from "../../api/queries";
import { plural } from "../../format";
import { Facts, Loaded, Panel, Tag, Time, told } from "../../parts/basic";
import { DataTable, type Column } from "../../parts/DataTable";
import { Recovery } from "../../parts/Recovery";
import { may, refreshSession, signOut, useSession, useWho } from "../../session";

type Row = Schemas["OperatorSession"];

const refresh = () => queries.invalidateQueries({ queryKey: ["sessions"] });
const digits = (text: unknown) => String(text ?? "").replaceAll(/\s/g, "");

const systems: [RegExp, string][] = [[/Windows/, "Windows"], [/iPhone|iPad/, "iOS"], [/Mac OS X/, "macOS"], [/Android/, "Android"], [/Linux/, "Linux"]];
const browsers: [RegExp, string][] = [[/Edg\/(\d+)/, "Edge"], [/OPR\/(\d+)/, "Opera"], [/Firefox\/(\d+)/, "Firefox"], [/Chrome\/(\d+)/, "Chrome"], [/Version\/(\d+).*Safari/, "Safari"]];

function browserOf(agent: string | null | undefined): string {
  if (!agent) return "unknown";
  const system = systems.find(([sign]) => sign.test(agent))?.[1];
  for (const [sign, name] of browsers) {
    const version = agent.match(sign)?.[1];
    if (version) return `${name} ${version}${system ? ` on ${system}` : ""}`;
  }
  return agent.slice(0, 40);
}

function Password() {
  const who = useWho();
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
      await ask(() => api.PUT("/api/v1/session/password", { body: { old: String(given.get("old")), new: String(given.get("new")), code: digits(given.get("code")) } }));
      form.current?.reset();
      await Promise.all([refresh(), refreshSession()]);
      told.done("Changed. Your other sessions have ended.");
    } catch (fault) {
      const no = asRefused(fault);
      if (no.status === 401) setSaid("The present password or the code is not right. A code is taken once.");
      else setRefused(no);
    } finally {
      setBusy(false);
    }
  };
  return (
    <Panel title="Password" about="Changing it ends your other sessions.">
      <form ref={form} className="stack" onSubmit={(event) => void go(event)}>
        <input type="text" name="username" autoComplete="username" value={who.name} readOnly hidden />
        <PasswordInput name="old" label="Present password" autoComplete="current-password" required />
        <PasswordInput name="new" label="New password" description="12 characters or more; a sentence is best" autoComplete="new-password" required minLength={12} error={refused?.of("new")} />
        <PasswordInput name="again" label="The same again" autoComplete="new-password" required />
        <TextInput name="code" label="Code" description="Of your authenticator app, one not used yet" autoComplete="one-time-code" inputMode="numeric" required classNames={{ input: "code-input" }} />
        {(said || (refused && refused.fields.length === 0)) && <p className="fault" role="alert">{said || refused?.message}</p>}
        <div><Button type="submit" loading={busy}>Change the password</Button></div>
      </form>
    </Panel>
  );
}

function Codes() {
  const who = useWho();
  const [codes, setCodes] = useState<string[] | null>(null);
  const [fault, setFault] = useState("");
  const [busy, setBusy] = useState(false);
  const code = useRef<HTMLInputElement>(null);
  const go = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setFault("");
    try {
      const made = await ask(() => api.POST("/api/v1/session/recovery-codes", { body: { code: digits(code.current?.value) } }));
      setCodes(made.recovery_codes);
      await refreshSession();
    } catch (refused) {
      const { status, message } = asRefused(refused);
      setFault(status === 401 ? "That code is not right, or it was used already." : message);
    } finally {
      setBusy(false);
    }
  };
  return (
    <Panel title="Recovery codes" about={codes ? "" : <span className={who.recovery_codes_left < 3 ? "text-warn" : undefined}>{plural(who.recovery_codes_left, "code")} of ten left. New ones make the former void.</span>}>
      {codes ? <Recovery codes={codes} action="Done" onDone={() => setCodes(null)} /> : (
        <form className="stack" onSubmit={(event) => void go(event)}>
          <TextInput ref={code} label="Code" description="Of your authenticator app, one not used yet" autoComplete="one-time-code" inputMode="numeric" required error={fault} classNames={{ input: "code-input" }} />
          <div><Button type="submit" variant="default" loading={busy}>Make new codes</Button></div>
        </form>
      )}
    </Panel>
  );
}

function Account() {
  const who = useWho();
  const session = useSession().data;
  return (
    <Panel title={who.name} actions={<Button variant="default" size="xs" onClick={() => void signOut()}>Sign out</Button>}>
      <Facts items={[
        { name: "Role", value: who.role },
        { name: "E-mail", value: who.email ?? "–" },
        { name: "Signed in until", value: <><Time at={session?.ends_at} /> <span className="faint small">at the longest</span></> },
        { name: "Unused until", value: <Time at={session?.idle_until} as="relative" /> },
        { name: "Fresh code", value: session?.stepped_up_until ? <>holds until <Time at={session.stepped_up_until} as="clock" /></> : "asked for before what hurts" },
      ]} />
    </Panel>
  );
}

export function Sessions() {
  const who = useWho();
  const [whose, setWhose] = useState<"own" | "all">("own");
  const asked = useQuery(sessions(whose === "all"));
  const end = async (row: Row) => {
    await ask(() => api.DELETE("/api/v1/admin/sessions/{id}", { params: { path: { id: row.id } } }));
    await refresh();
    told.done("Ended.");
  };
  const columns: Column<Row>[] = [
    { id: "browser", head: "Browser", cell: (row) => <span title={row.user_agent ?? undefined}>{browserOf(row.user_agent)}{row.current && <> <Tag>this one</Tag></>}</span> },
    ...(whose === "all" ? [{ id: "who", head: "Operator", sort: (row: Row) => row.operator.name, cell: (row: Row) => row.operator.name }] : []),
    { id: "from", head: "From", hide: "narrow", cell: (row) => <span className="num">{row.address ?? "–"}</span> },
    { id: "begun", head: "Begun", hide: "medium", sort: (row) => row.created_at, cell: (row) => <Time at={row.created_at} /> },
    { id: "seen", head: "Last used", sort: (row) => row.last_seen, cell: (row) => <Time at={row.last_seen} as="relative" /> },
    { id: "ends", head: "Ends at the latest", hide: "medium", sort: (row) => row.ends_at, cell: (row) => <Time at={row.ends_at} /> },
    { id: "end", head: "", align: "right", cell: (row) => !row.current && <Button size="compact-xs" variant="subtle" color="red" onClick={() => void end(row).catch(told.refused)} aria-label={`End the session of ${row.operator.name} in ${browserOf(row.user_agent)}`}>End</Button> },
  ];
  return (
    <div className="stack">
      <Panel title="Sessions" about="Where one is signed in. A session that is ended is ended everywhere at once." flush
        actions={may.administer(who.role) && <SegmentedControl aria-label="Whose" size="xs" value={whose} onChange={(value) => setWhose(value as typeof whose)} data={[{ value: "own", label: "Yours" }, { value: "all", label: "Everybody's" }]} />}>
        <Loaded of={asked} what="Sessions">{(items) => <DataTable key={whose} label="Sessions" rows={items} columns={columns} keyOf={(row) => row.id} first={{ id: "seen", desc: true }} />}</Loaded>
      </Panel>
      <div className="columns">
        <Password />
        <div className="stack"><Account /><Codes /></div>
      </div>
    </div>
  );
}
