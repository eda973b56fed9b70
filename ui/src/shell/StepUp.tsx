// A fresh code before what hurts. Whatever was refused for want of one goes on by itself once it was given.

import { Button, Modal, TextInput } from "@mantine/core";
import { useEffect, useRef, useState } from "react";
import { asRefused, onStepUp, send } from "../api/client";
import { queries } from "../api/queries";

export function StepUp() {
  const [opened, setOpened] = useState(false);
  const [fault, setFault] = useState("");
  const [busy, setBusy] = useState(false);
  const input = useRef<HTMLInputElement>(null);
  const answer = useRef<(given: boolean) => void>(() => undefined);

  useEffect(() => {
    onStepUp(() => {
      setFault("");
      setOpened(true);
      return new Promise((resolve) => {
        answer.current = resolve;
      });
    });
  }, []);

  const close = (given: boolean) => {
    setOpened(false);
    answer.current(given);
  };
  const confirm = async () => {
    setBusy(true);
    try {
      await send("POST", "/api/v1/session/step-up", { code: input.current?.value.replaceAll(/\s/g, "") });
      await queries.invalidateQueries({ queryKey: ["session"] });
      close(true);
    } catch (refused) {
      setFault(asRefused(refused).status === 401 ? "That code is not right, or it was used already." : asRefused(refused).message);
      input.current?.select();
    } finally {
      setBusy(false);
    }
  };
  return (
    <Modal opened={opened} onClose={() => close(false)} title="Confirm that it is you" zIndex={400}>
      <form className="stack" onSubmit={(event) => { event.preventDefault(); void confirm(); }}>
        <p className="muted">This step cannot be undone by mistake: enter a fresh code from your authenticator app. It holds for five minutes.</p>
        <TextInput ref={input} label="Code" inputMode="numeric" autoComplete="one-time-code" maxLength={12} error={fault} data-autofocus classNames={{ input: "code-input" }} />
        <div className="row-end">
          <Button variant="default" onClick={() => close(false)}>Cancel</Button>
          <Button type="submit" loading={busy}>Confirm</Button>
        </div>
      </form>
    </Modal>
  );
}
