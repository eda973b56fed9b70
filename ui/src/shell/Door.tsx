// The frame of what is seen before one is let in.

import { type ReactNode, useEffect } from "react";
import mark from "../mark.svg";
import { ThemeSwitch } from "./Shell";

export function Door({ title, about, children, wide }: { title: string; about?: ReactNode; children: ReactNode; wide?: boolean }) {
  useEffect(() => {
    document.title = `${title} · Sealgate`;
  }, [title]);
  return (
    <div className="door">
      <div className="door-corner"><ThemeSwitch /></div>
      <main className={`door-card ${wide ? "door-wide" : ""}`}>
        <img src={mark} alt="" width={40} height={40} />
        <h1>{title}</h1>
        {about && <p className="muted">{about}</p>}
        {children}
      </main>
      <p className="door-foot faint small">Sealgate keeps the keys of your providers and hands none of them out.</p>
    </div>
  );
}
