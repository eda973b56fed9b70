// A fresh code before what hurts. Whatever was refused for want of one goes on by itself once it was given.

import { Button, Modal, TextInput } from "@mantine/core";
import { useEffect, useRef, useState } from "react";
import { asRefused, onStepUp, send } from "../api/client";
import { refreshSession } from "../session";

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
      // Whoever asked before is told no.
      answer.current(false);
      return new Promise((resolve) => {
        answer.current = resolve;
      });
    });
    return () => {
      onStepUp(async () => false);
      answer.current(false);
    };
  }, []);

  const close = (given: boolean) => {
    setOpened(false);
    answer.current(given);
  };
  const confirm = async () => {
    setBusy(true);
    try {
      await send("POST", "/api/v1/session/step-up", { code: input.current?.value.replaceAll(/\s/g, "") });
      await refreshSession();
      close(true);
    } catch (refused) {
      const { status, message, retryAfter } = asRefused(refused);
      setFault(status === 401 ? "That code is not right, or it was used already." : status === 429 ? `Too many tries. Wait ${retryAfter ?? 60} seconds.` : message);
      input.current?.select();
    } finally {
      setBusy(false);
    }
  };
  return (
    <Modal opened={opened} onClose={() => close(false)} title="Confirm that it is you" zIndex={400}>
      <form className="stack" onSubmit={(event) => { event.preventDefault(); void confirm(); }}>
        <p className="muted">What you are about to do hurts if somebody else does it. Enter a fresh code of your authenticator app, one that was not used yet; it holds for five minutes.</p>
        <TextInput ref={input} label="Code" inputMode="numeric" autoComplete="one-time-code" maxLength={12} error={fault} data-autofocus classNames={{ input: "code-input" }} />
        <div className="row-end">
          <Button variant="default" onClick={() => close(false)}>Cancel</Button>
          <Button type="submit" loading={busy}>Confirm</Button>
        </div>
      </form>
    </Modal>
  );
}
