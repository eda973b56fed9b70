// Short words in a corner: what was done, and what was not.

import { useSyncExternalStore } from "react";
import { asRefused } from "../api/client";
import { Icon } from "../icons";

interface Toast {
  id: number;
  title: string;
  message: string;
  bad: boolean;
}

let shown: Toast[] = [];
let last = 0;
const listeners = new Set<() => void>();

const set = (next: Toast[]) => {
  shown = next;
  listeners.forEach((listener) => listener());
};
const drop = (id: number) => set(shown.filter((toast) => toast.id !== id));

function show(title: string, message: string, bad: boolean) {
  last += 1;
  const id = last;
  set([...shown.slice(-3), { id, title, message, bad }]);
  setTimeout(() => drop(id), bad ? 9_000 : 4_500);
}

export const told = {
  done: (message: string) => show("", message, false),
  refused: (fault: unknown) => {
    const refused = asRefused(fault);
    show(refused.title, refused.message, true);
  },
};

const subscribe = (listener: () => void) => {
  listeners.add(listener);
  return () => void listeners.delete(listener);
};

export function Toasts() {
  const toasts = useSyncExternalStore(subscribe, () => shown);
  return (
    <div className="toasts" role="status" aria-live="polite">
      {toasts.map(({ id, title, message, bad }) => (
        <div key={id} className={`toast ${bad ? "toast-bad" : ""}`}>
          <Icon name={bad ? "warn" : "check"} />
          <div>{title && <p><strong>{title}</strong></p>}<p>{message}</p></div>
          <button type="button" className="as-link" aria-label="Dismiss" onClick={() => drop(id)}><Icon name="cross" size={14} /></button>
        </div>
      ))}
    </div>
  );
}
