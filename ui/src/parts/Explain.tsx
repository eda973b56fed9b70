// Would this client key be allowed that call, and which rule says so? Nothing is sent anywhere.

import { Button, Select, TextInput } from "@mantine/core";
import { useState } from "react";
import { type Refused, type Schemas, api, ask, asRefused } from "../api/client";
import { Mono, Status } from "./basic";

/** A key that there is, or the role and scopes of one that is to be made. */
type Of = { key_id: string } | { role: Schemas["Role"]; scopes: string[] | null };

export function Explain({ of, first }: { of: Of; first: string }) {
  const [method, setMethod] = useState("GET");
  const [typed, setTyped] = useState<string | null>(null);
  const [said, setSaid] = useState<Schemas["Explained"] | null>(null);
  const [refused, setRefused] = useState<Refused | null>(null);
  const url = typed ?? first;
  const go = async () => {
    setRefused(null);
    setSaid(null);
    try {
      setSaid(await ask(() => api.POST("/api/v1/admin/policy/explain", { body: { ...of, method, url } })));
    } catch (fault) {
      setRefused(asRefused(fault));
    }
  };
  return (
    <div className="stack-tight">
      <div className="explain">
        <Select aria-label="Method" value={method} onChange={(value) => setMethod(value ?? "GET")} data={["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]} allowDeselect={false} w={104} />
        <TextInput aria-label="Path behind the proxy" value={url} onChange={(event) => setTyped(event.currentTarget.value)} className="grow mono-input" spellCheck={false}
          onKeyDown={(event) => { if (event.key === "Enter") { event.preventDefault(); void go(); } }} />
        <Button variant="default" onClick={() => void go()}>Try</Button>
      </div>
      {refused && <p className="fault" role="alert">{refused.fields[0] ? `${refused.fields[0].field} ${refused.fields[0].fault}` : refused.message}</p>}
      {said && (
        <div role="status" className="explained">
          <Status tone={said.decision === "allow" ? "good" : "bad"}>{said.decision}</Status>
          <p>{said.reason}</p>
          {said.rule && <p className="faint small">Rule: <Mono>{said.rule}</Mono></p>}
        </div>
      )}
    </div>
  );
}
