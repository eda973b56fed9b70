// The door: name, password and code; at the first run, and while the house is sealed, an admin key for one errand.

import { Anchor, Button, PasswordInput, TextInput } from "@mantine/core";
import { useNavigate } from "@tanstack/react-router";
import { type FormEvent, useRef, useState } from "react";
import { asRefused, send } from "../api/client";
import { Time } from "../parts/basic";
import { Icon } from "../icons";
import { type Session, handed, refreshSession, signOut } from "../session";
import { Door } from "./Door";
import type { Ended } from "./Gate";

const looksLikeKey = /^mdw_[0-9A-Za-z]{46}$/;
const quiet = { autoCapitalize: "none", autoCorrect: "off", spellCheck: false } as const;
type Fault = ReturnType<typeof asRefused>;

const sayOf = ({ status, message, retryAfter }: Fault, wrong: string) =>
  status === 401 ? wrong : status === 429 ? `Too many tries. The next one is taken in ${retryAfter ?? 60} seconds.` : message;

function ByKey({ title, about, action, onBack }: { title: string; about: string; action: string; onBack?: () => void }) {
  const input = useRef<HTMLInputElement>(null);
  const [fault, setFault] = useState("");
  const [busy, setBusy] = useState(false);
  const go = async (event: FormEvent) => {
    event.preventDefault();
    const key = input.current?.value.trim() ?? "";
    if (!looksLikeKey.test(key)) return setFault("An admin key is mdw_ and 46 letters and digits.");
    setBusy(true);
    setFault("");
    if (input.current) input.current.value = "";
    try {
      await send("POST", "/api/v1/session", { admin_key: key });
      await refreshSession();
    } catch (refused) {
      setFault(sayOf(asRefused(refused), "This key is not known, was revoked, or has expired."));
    } finally {
      setBusy(false);
    }
  };
  return (
    <Door title={title} about={about}>
      <form className="stack" onSubmit={(event) => void go(event)}>
        <PasswordInput ref={input} label="Admin key" placeholder="mdw_…" error={fault} autoComplete="off" data-1p-ignore {...quiet} autoFocus />
        <Button type="submit" loading={busy} fullWidth>{action}</Button>
        {onBack && <Anchor component="button" type="button" size="sm" onClick={onBack}>Back</Anchor>}
      </form>
    </Door>
  );
}

function FirstOperator({ session }: { session: Session }) {
  const [fault, setFault] = useState<Fault | null>(null);
  const [busy, setBusy] = useState(false);
  const [name, setName] = useState("");
  const [email, setEmail] = useState("");
  const navigate = useNavigate();
  const make = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setFault(null);
    try {
      const made = await send<{ invitation: string }>("POST", "/api/v1/admin/operators", { name, role: "admin", ...(email ? { email } : {}) });
      handed.invitation = made.invitation;
      await navigate({ to: "/invitation" });
    } catch (refused) {
      setFault(asRefused(refused));
      setBusy(false);
    }
  };
  return (
    <Door title="The first operator" about="This account may do everything, invite others among it. Its password and authenticator come next.">
      <form className="stack" onSubmit={(event) => void make(event)}>
        <TextInput label="Name" description="Letters, digits and . _ @ + -, as you will type it to sign in" value={name} onChange={(event) => setName(event.currentTarget.value)} error={fault?.of("name")} autoComplete="username" required autoFocus {...quiet} />
        <TextInput label="E-mail" description="Optional" type="email" value={email} onChange={(event) => setEmail(event.currentTarget.value)} error={fault?.of("email")} autoComplete="email" />
        {fault && fault.fields.length === 0 && <p className="fault" role="alert">{fault.message}</p>}
        <Button type="submit" loading={busy} fullWidth>Continue</Button>
        {session.ends_at && <p className="faint small">The key opened the door until <Time at={session.ends_at} as="clock" />.</p>}
      </form>
    </Door>
  );
}

function Unseal() {
  const passphrase = useRef<HTMLInputElement>(null);
  const [fault, setFault] = useState("");
  const [busy, setBusy] = useState(false);
  const go = async (event: FormEvent) => {
    event.preventDefault();
    const given = passphrase.current?.value;
    if (passphrase.current) passphrase.current.value = "";
    setBusy(true);
    setFault("");
    try {
      await send("POST", "/api/v1/admin/unseal", given ? { passphrase: given } : {});
      await refreshSession();
    } catch (refused) {
      setFault(asRefused(refused).message);
    } finally {
      setBusy(false);
    }
  };
  return (
    <Door title="Unseal" about="The key was taken. Once the house is open, sign in with name, password and code.">
      <form className="stack" onSubmit={(event) => void go(event)}>
        <PasswordInput ref={passphrase} label="Passphrase" description="Only where the master key is held by a passphrase that the settings do not name" autoComplete="off" data-1p-ignore error={fault} autoFocus />
        <Button type="submit" loading={busy} fullWidth>Unseal</Button>
        <Anchor component="button" type="button" size="sm" onClick={() => void signOut()}>Leave</Anchor>
      </form>
    </Door>
  );
}

function Shut({ onKey }: { onKey: () => void }) {
  return (
    <Door title="Sealed" about="No key is in memory, so that nobody's code can be checked and nobody can sign in. Who was signed in before stays signed in and can unseal.">
      <div className="stack">
        <Button onClick={onKey} leftSection={<Icon name="lock" size={16} />} fullWidth>Unseal with an admin key</Button>
        <p className="faint small">On the machine itself <code className="mono">sealgate unseal</code> does the same.</p>
      </div>
    </Door>
  );
}

export function SignIn({ session, ended }: { session: Session; ended: Ended | null }) {
  const [byKey, setByKey] = useState(false);
  const [fault, setFault] = useState("");
  const [busy, setBusy] = useState(false);
  const name = useRef<HTMLInputElement>(null);
  const password = useRef<HTMLInputElement>(null);
  const code = useRef<HTMLInputElement>(null);

  if (session.state === "first_run")
    return <ByKey title="Welcome" about="Nobody has an account here yet. Enter the admin key that Sealgate printed at its first start; the next step makes you its first operator." action="Begin" />;
  if (session.state === "set_up") return <FirstOperator session={session} />;
  if (session.state === "unsealing") return <Unseal />;
  if (session.sealed)
    return byKey ? <ByKey title="Unseal" about="A client key of the role admin opens a session that may unseal and do nothing else." action="Continue" onBack={() => setByKey(false)} /> : <Shut onKey={() => setByKey(true)} />;

  const go = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setFault("");
    try {
      await send("POST", "/api/v1/session", {
        name: name.current?.value.trim(),
        password: password.current?.value,
        code: code.current?.value.replaceAll(/\s/g, ""),
      });
      await refreshSession();
    } catch (refused) {
      setFault(sayOf(asRefused(refused), "Name, password or code is not right. A code is taken once; wait for the next one where this one was used."));
      if (code.current) code.current.value = "";
      code.current?.focus();
    } finally {
      setBusy(false);
    }
  };
  return (
    <Door title="Sign in" about={ended?.why}>
      <form className="stack" onSubmit={(event) => void go(event)}>
        <TextInput ref={name} label="Name" defaultValue={ended?.name ?? ""} autoComplete="username" required autoFocus={!ended} {...quiet} />
        <PasswordInput ref={password} label="Password" autoComplete="current-password" required autoFocus={Boolean(ended)} />
        <TextInput ref={code} label="Code" description="From your authenticator app, or a recovery code" autoComplete="one-time-code" required {...quiet} />
        {fault && <p className="fault" role="alert">{fault}</p>}
        <Button type="submit" loading={busy} fullWidth>Sign in</Button>
        <Anchor href="/console/invitation" size="sm">I have an invitation</Anchor>
      </form>
    </Door>
  );
}
