// What a webhook's receiver checks signatures with, shown once.

import { Button, Modal } from "@mantine/core";
import { Copy } from "../../parts/basic";

export default function Made({ name, secret, onClose }: { name: string; secret: string; onClose: () => void }) {
  return (
    <Modal opened onClose={onClose} title={`The secret of ${name}`} size="lg" closeOnClickOutside={false}>
      <div className="stack">
        <p className="muted">The receiver checks with it that a message is of this house (Standard Webhooks, HMAC-SHA-256). It is shown this once.</p>
        <div className="key-line"><code>{secret}</code><Copy text={secret} label="Copy the secret" /></div>
        <div className="row-end"><Button onClick={onClose}>Done</Button></div>
      </div>
    </Modal>
  );
}
