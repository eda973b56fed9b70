// The dialog that asks for a fresh code.

import { Button, Modal, TextInput } from "@mantine/core";
import { useRef, useState } from "react";
import { asRefused, send } from "../api/client";
import { refreshSession } from "../session";

export default function Fresh({ onClose }: { onClose: (given: boolean) => void }) {
  const [fault, setFault] = useState("");
  const [busy, setBusy] = useState(false);
  const input = useRef<HTMLInputElement>(null);
  const confirm = async () => {
    setBusy(true);
    try {
      await send("POST", "/api/v1/session/step-up", { code: input.current?.value.replaceAll(/\s/g, "") });
      await refreshSession();
      onClose(true);
    } catch (refused) {
      const { status, message, retryAfter } = asRefused(refused);
      setFault(status === 401 ? "That code is not right, or it was used already." : status === 429 ? `Too many tries. Wait ${retryAfter ?? 60} seconds.` : message);
      input.current?.select();
    } finally {
      setBusy(false);
    }
  };
  return (
    <Modal opened onClose={() => onClose(false)} title="Confirm that it is you" zIndex={400}>
      <form className="stack" onSubmit={(event) => { event.preventDefault(); void confirm(); }}>
        <p className="muted">What you are about to do hurts if somebody else does it. Enter a fresh code of your authenticator app, one that was not used yet; it holds for five minutes.</p>
        <TextInput ref={input} label="Code" inputMode="numeric" autoComplete="one-time-code" maxLength={12} error={fault} data-autofocus classNames={{ input: "code-input" }} />
        <div className="row-end">
          <Button variant="default" onClick={() => onClose(false)}>Cancel</Button>
          <Button type="submit" loading={busy}>Confirm</Button>
        </div>
      </form>
    </Modal>
  );
}
