// Whether the house is open, and the button that shuts it.

import { Button, PasswordInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useRef, useState } from "react";
import { api, ask, asRefused } from "../../api/client";
import { queries, ready } from "../../api/queries";
import { Icon } from "../../icons";
import { Loaded, Panel, told } from "../../parts/basic";
import { Confirm } from "../../parts/confirm";
import { may, useWho } from "../../session";

export function Seal() {
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
