// The door: name, password and code; a key instead; and the first run, which leads from the admin key to an operator.

import { Anchor, Button, PasswordInput, TextInput } from "@mantine/core";
import { type FormEvent, useRef, useState } from "react";
import { asRefused, credential, send } from "../api/client";
import { queries } from "../api/queries";
import type { Session } from "../session";
import { Door } from "./Door";
import { Enrol } from "./Enrol";

const looksLikeKey = /^mdw_[0-9A-Za-z]{46}$/;
const quiet = { autoCapitalize: "none", autoCorrect: "off", spellCheck: false } as const;

async function enterByKey(key: string) {
  credential.take(key);
  try {
    await send("GET", "/api/v1/admin/providers?limit=1").catch((fault: unknown) => {
      // A sealed house is one to be let into all the same: it has to be unsealed.
      if (asRefused(fault).code !== "sealed") throw fault;
    });
  } catch (fault) {
    credential.drop();
    throw fault;
  }
  await queries.invalidateQueries({ queryKey: ["session"] });
}

const keyFault = (fault: unknown) => {
  const refused = asRefused(fault);
  if (refused.status === 401) return "This key is not known, was revoked, or has expired.";
  if (refused.status === 403) return "This key's role may not use the console.";
  return refused.message;
};

function ByKey({ session, onBack }: { session: Session | null; onBack?: () => void }) {
  const input = useRef<HTMLInputElement>(null);
  const [fault, setFault] = useState("");
  const [busy, setBusy] = useState(false);
  const isFirst = session?.state === "first_run";
  const go = async (event: FormEvent, makeOperator: boolean) => {
    event.preventDefault();
    const key = input.current?.value.trim() ?? "";
    if (!looksLikeKey.test(key)) {
      setFault("A client key is mdw_ and 46 letters and digits.");
      return;
    }
    setBusy(true);
    setFault("");
    try {
      if (makeOperator) {
        await send("POST", "/api/v1/session", { admin_key: key });
        await queries.invalidateQueries({ queryKey: ["session"] });
      } else await enterByKey(key);
      if (input.current) input.current.value = "";
    } catch (refused) {
      setFault(keyFault(refused));
    } finally {
      setBusy(false);
    }
  };
  return (
    <Door
      title={isFirst ? "Welcome" : "Sign in with a key"}
      about={
        isFirst
          ? "Nobody has an account here yet. Enter the admin key that Sealgate printed at its first start; the next step makes you its first operator."
          : "A client key of the role admin, operator or auditor. It is kept in the memory of this page alone and is gone when you load it again."
      }
    >
      <form className="stack" onSubmit={(event) => void go(event, isFirst)}>
        <PasswordInput ref={input} label="Admin key" placeholder="mdw_…" error={fault} autoComplete="off" data-1p-ignore {...quiet} autoFocus />
        <Button type="submit" loading={busy} fullWidth>{isFirst ? "Begin" : "Sign in"}</Button>
        {isFirst && <Button variant="subtle" color="gray" onClick={(event) => void go(event, false)} fullWidth>Only look around with this key</Button>}
        {onBack && <Anchor component="button" type="button" size="sm" onClick={onBack}>Sign in with name and password</Anchor>}
      </form>
    </Door>
  );
}

function FirstOperator() {
  const [invitation, setInvitation] = useState("");
  const [fault, setFault] = useState<ReturnType<typeof asRefused> | null>(null);
  const [busy, setBusy] = useState(false);
  const [name, setName] = useState("");
  const [email, setEmail] = useState("");
  const make = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    try {
      const made = await send<{ invitation: string }>("POST", "/api/v1/admin/operators", { name, role: "admin", ...(email ? { email } : {}) });
      setInvitation(made.invitation);
    } catch (refused) {
      setFault(asRefused(refused));
    } finally {
      setBusy(false);
    }
  };
  if (invitation) return <Enrol invitation={invitation} />;
  return (
    <Door title="The first operator" about="This account may do everything, invite others among it. Its password and second factor come next.">
      <form className="stack" onSubmit={(event) => void make(event)}>
        <TextInput label="Name" value={name} onChange={(event) => setName(event.currentTarget.value)} error={fault?.of("name")} autoComplete="username" required autoFocus {...quiet} />
        <TextInput label="E-mail" description="Optional" type="email" value={email} onChange={(event) => setEmail(event.currentTarget.value)} error={fault?.of("email")} autoComplete="email" />
        {fault && fault.fields.length === 0 && <p className="fault" role="alert">{fault.message}</p>}
        <Button type="submit" loading={busy} fullWidth>Continue</Button>
      </form>
    </Door>
  );
}

export function SignIn({ session }: { session: Session | null }) {
  const [byKey, setByKey] = useState(false);
  const [fault, setFault] = useState("");
  const [busy, setBusy] = useState(false);
  const name = useRef<HTMLInputElement>(null);
  const password = useRef<HTMLInputElement>(null);
  const code = useRef<HTMLInputElement>(null);

  if (session === null || session.state === "first_run") return <ByKey session={session} />;
  if (session.state === "set_up") return <FirstOperator />;
  if (byKey) return <ByKey session={session} onBack={() => setByKey(false)} />;

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
      await queries.invalidateQueries({ queryKey: ["session"] });
    } catch (refused) {
      const { status, message, retryAfter } = asRefused(refused);
      if (status === 429) setFault(`Too many tries. Wait ${retryAfter ?? 60} seconds.`);
      else setFault(status === 401 ? "Name, password or code is not right." : message);
      if (code.current) code.current.value = "";
    } finally {
      setBusy(false);
    }
  };
  return (
    <Door title="Sign in">
      <form className="stack" onSubmit={(event) => void go(event)}>
        <TextInput ref={name} label="Name" autoComplete="username" required autoFocus {...quiet} />
        <PasswordInput ref={password} label="Password" autoComplete="current-password" required />
        <TextInput ref={code} label="Code" description="From your authenticator app, or a recovery code" autoComplete="one-time-code" required {...quiet} />
        {fault && <p className="fault" role="alert">{fault}</p>}
        <Button type="submit" loading={busy} fullWidth>Sign in</Button>
        <Anchor component="button" type="button" size="sm" onClick={() => setByKey(true)}>Sign in with an admin key instead</Anchor>
      </form>
    </Door>
  );
}
