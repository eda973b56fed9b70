// Recovery codes, shown once: each stands in for the authenticator app at one sign-in.

import { Button, Checkbox } from "@mantine/core";
import { useState } from "react";
import { keep } from "../api/client";
import { Copy, Mono } from "./basic";

export function Recovery({ codes, onDone, action }: { codes: string[]; onDone: () => void; action: string }) {
  const [kept, setKept] = useState(false);
  const save = () => keep(new Blob([`${codes.join("\n")}\n`], { type: "text/plain" }), "sealgate-recovery-codes.txt");
  return (
    <div className="stack">
      <p className="muted">Each of these stands in for your authenticator once. They are shown now and never again.</p>
      <ol className="codes">{codes.map((code) => <li key={code}><Mono>{code}</Mono></li>)}</ol>
      <div className="row">
        <Button variant="default" onClick={save}>Save as a file</Button>
        <Copy text={codes.join("\n")} label="Copy all codes" />
      </div>
      <Checkbox checked={kept} onChange={(event) => setKept(event.currentTarget.checked)} label="I have put them where I will find them" />
      <Button disabled={!kept} onClick={onDone}>{action}</Button>
    </div>
  );
}
