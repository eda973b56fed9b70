// The dialog that says when a session ends.

import { Button, Modal } from "@mantine/core";
import { signOut } from "../session";

interface Props {
  /** It cannot be made longer. */
  isLast: boolean;
  left: string;
  busy: boolean;
  onStay: () => void;
}

export default function Ending({ isLast, left, busy, onStay }: Props) {
  return (
    <Modal opened onClose={() => void (isLast ? signOut() : onStay())} title={isLast ? "Your session ends" : "Are you still there?"} zIndex={450} withCloseButton={false} closeOnClickOutside={false}>
      <div className="stack">
        <p className="muted">{isLast ? "It has reached its longest time and cannot be made longer. Finish what you are at; signing in again leads back here." : "Nobody has used this session for a while. It ends by itself, so that nobody else goes on with it."}</p>
        <p className="countdown num" role="timer" aria-live="off">{left}</p>
        <div className="row-end">
          <Button variant="default" onClick={() => void signOut()}>Sign out</Button>
          {!isLast && <Button onClick={() => onStay()} loading={busy} data-autofocus>Stay signed in</Button>}
        </div>
      </div>
    </Modal>
  );
}
