// Before what cannot be taken back: says what will happen, and asks for the thing's name where it hurts.

import { Button, Modal, TextInput } from "@mantine/core";
import { type ReactNode, useState } from "react";
import { type Refused, asRefused } from "../api/client";

interface Props {
  title: string;
  children: ReactNode;
  action: string;
  /** To be typed before the button works. */
  typed?: string | undefined;
  danger?: boolean;
  onClose: () => void;
  act: () => Promise<unknown>;
}

export function Confirm({ title, children, action, typed, danger = true, onClose, act }: Props) {
  const [busy, setBusy] = useState(false);
  const [text, setText] = useState("");
  const [refused, setRefused] = useState<Refused | null>(null);
  const go = async () => {
    setBusy(true);
    setRefused(null);
    try {
      await act();
      onClose();
    } catch (fault) {
      setRefused(asRefused(fault));
    } finally {
      setBusy(false);
    }
  };
  const isReady = typed === undefined || text === typed;
  return (
    <Modal opened onClose={onClose} title={title}>
      <form className="stack" onSubmit={(event) => { event.preventDefault(); if (isReady) void go(); }}>
        <div className="stack-tight">{children}</div>
        {typed !== undefined && (
          <TextInput label={`Type ${typed} to confirm`} value={text} onChange={(event) => setText(event.currentTarget.value)} autoComplete="off" spellCheck={false} data-autofocus />
        )}
        {refused && <p className="fault" role="alert">{refused.message}</p>}
        <div className="row-end">
          <Button variant="default" onClick={onClose}>Cancel</Button>
          <Button type="submit" color={danger ? "red" : undefined} disabled={!isReady} loading={busy}>{action}</Button>
        </div>
      </form>
    </Modal>
  );
}
