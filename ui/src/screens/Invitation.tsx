// Where the link of an invitation leads. The invitation stands behind the number sign, which no server is told, and is
// taken out of the address at once.

import { Button, TextInput } from "@mantine/core";
import { type FormEvent, useEffect, useRef, useState } from "react";
import { Door } from "../shell/Door";
import { handed } from "../session";
import { Enrol } from "../shell/Enrol";

/** An invitation has no sign that would have to be written in another way. */
const linked = () => (/^#[\w-]+$/.test(location.hash) ? location.hash.slice(1) : "");

export function Invitation() {
  const [invitation, setInvitation] = useState(() => linked() || handed.invitation);
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => {
    handed.invitation = "";
    if (location.hash) history.replaceState(history.state, "", location.pathname);
  }, []);
  if (invitation) return <Enrol invitation={invitation} />;
  const go = (event: FormEvent) => {
    event.preventDefault();
    setInvitation(input.current?.value.trim() ?? "");
  };
  return (
    <Door title="Invitation" about="Enter the invitation that an administrator gave you.">
      <form className="stack" onSubmit={go}>
        <TextInput ref={input} label="Invitation" placeholder="sgi_…" autoComplete="off" spellCheck={false} required autoFocus />
        <Button type="submit" fullWidth>Continue</Button>
        <p className="muted small">Lost it? An administrator makes a new one; where there is none, <code>sealgate operator reset NAME</code> on the machine does. <a href="/console/">Sign in</a></p>
      </form>
    </Door>
  );
}
