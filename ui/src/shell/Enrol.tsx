// An invitation is taken up: password, second factor, recovery codes, and in.

import { Button, PasswordInput, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useEffect, useRef, useState } from "react";
import { type Refused, asRefused, send } from "../api/client";
import { Copy, Fault, Loading, Mono } from "../parts/basic";
import { Qr } from "../parts/Qr";
import { Recovery } from "../parts/Recovery";
import { Door } from "./Door";

interface Offered {
  name: string;
  role: string;
  totp_secret: string;
  totp_uri: string;
}

const fewest = 12;

/** Whoever would leave in the middle is asked once: the invitation, and the codes, are shown nowhere else. */
function useHeld(isHeld: boolean) {
  useEffect(() => {
    if (!isHeld) return;
    const hold = (event: BeforeUnloadEvent) => event.preventDefault();
    addEventListener("beforeunload", hold);
    return () => removeEventListener("beforeunload", hold);
  }, [isHeld]);
}

export function Enrol({ invitation }: { invitation: string }) {
  const offered = useQuery({
    queryKey: ["invitation", invitation],
    gcTime: 0,
    staleTime: Number.POSITIVE_INFINITY,
    retry: false,
    queryFn: () => send<Offered>("POST", "/api/v1/session/invitation", { invitation }),
  });
  const [codes, setCodes] = useState<string[] | null>(null);
  const [refused, setRefused] = useState<Refused | null>(null);
  const [said, setSaid] = useState("");
  const [busy, setBusy] = useState(false);
  const [done, setDone] = useState(false);
  useHeld(Boolean(offered.data) && !done);
  useEffect(() => {
    // Anew, with nothing left in memory of how one came.
    if (done) location.replace("/console/");
  }, [done]);
  const password = useRef<HTMLInputElement>(null);
  const again = useRef<HTMLInputElement>(null);
  const code = useRef<HTMLInputElement>(null);

  if (codes) {
    return (
      <Door title="Recovery codes">
        <Recovery codes={codes} action="Open the console" onDone={() => setDone(true)} />
      </Door>
    );
  }
  if (offered.error) {
    const refused = asRefused(offered.error);
    const gone = [401, 403, 404, 422].includes(refused.status);
    return (
      <Door title="Invitation">
        {gone ? (
          <div className="stack">
            <p className="muted">This invitation was used already, has expired, or was never made. Ask an administrator for a new one.</p>
            <Button component="a" href="/console/" variant="default">To the console</Button>
          </div>
        ) : refused.code === "sealed" ? <p className="muted">The house is sealed, so that no account can be made. Come back with this link once it was unsealed.</p> : <Fault fault={offered.error} again={() => void offered.refetch()} />}
      </Door>
    );
  }
  if (!offered.data) return <Door title="Invitation"><Loading rows={3} /></Door>;

  const accept = async (event: FormEvent) => {
    event.preventDefault();
    const chosen = password.current?.value ?? "";
    if (chosen.length < fewest) return setSaid(`The password needs ${fewest} characters or more.`);
    if (chosen !== again.current?.value) return setSaid("The two passwords differ.");
    setBusy(true);
    setSaid("");
    setRefused(null);
    try {
      const accepted = await send<{ recovery_codes: string[] }>("POST", "/api/v1/session/invitation/accept", {
        invitation, password: chosen, code: code.current?.value.replaceAll(/\s/g, ""),
      });
      setCodes(accepted.recovery_codes);
    } catch (fault) {
      setRefused(asRefused(fault));
    } finally {
      setBusy(false);
    }
  };
  const { name, role, totp_secret, totp_uri } = offered.data;
  return (
    <Door title={`Welcome, ${name}`} about={`You will be an ${role} of this house.`} wide>
      <form className="enrol" onSubmit={(event) => void accept(event)}>
        <div className="stack">
          <h2>1. Choose a password</h2>
          <input type="text" name="username" autoComplete="username" value={name} readOnly hidden />
          <PasswordInput ref={password} label="Password" description={`${fewest} characters or more; a sentence is best`} autoComplete="new-password" error={refused?.of("password")} required autoFocus />
          <PasswordInput ref={again} label="The same again" autoComplete="new-password" required />
        </div>
        <div className="stack">
          <h2>2. Add it to your authenticator app</h2>
          <div className="enrol-code">
            <Qr text={totp_uri} label="Code for an authenticator app" />
            <div className="stack-tight">
              <p className="muted small">Scan it, or enter this by hand:</p>
              <p className="row"><Mono>{totp_secret.replaceAll(/(.{4})/g, "$1 ").trim()}</Mono><Copy text={totp_secret} label="Copy the secret" /></p>
            </div>
          </div>
          <TextInput ref={code} label="Code that the app shows" inputMode="numeric" autoComplete="one-time-code" maxLength={8} error={refused?.of("code") ?? (refused?.status === 401 ? "That code is not right." : undefined)} classNames={{ input: "code-input" }} required />
        </div>
        <div className="stack enrol-foot">
          {(said || (refused && refused.fields.length === 0 && refused.status !== 401)) && <p className="fault" role="alert">{said || refused?.message}</p>}
          <Button type="submit" loading={busy}>Create my account</Button>
        </div>
      </form>
    </Door>
  );
}
