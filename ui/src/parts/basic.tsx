// The small parts that every screen is made of.

import { ActionIcon, Button, Tooltip } from "@mantine/core";
import { type ReactNode, useEffect, useState } from "react";
import { Refused, asRefused } from "../api/client";
import { type Precision, local, relative, utc } from "../format";
import { Icon, type IconName } from "../icons";

interface PageProps {
  title: ReactNode;
  name?: string;
  about?: ReactNode;
  above?: ReactNode;
  actions?: ReactNode;
  children: ReactNode;
}

export function Page({ title, name, about, above, actions, children }: PageProps) {
  const said = name ?? (typeof title === "string" ? title : "Sealgate");
  useEffect(() => {
    document.title = `${said} · Sealgate`;
  }, [said]);
  return (
    <div className="page">
      <header className="page-head">
        <div className="page-title">
          {above && <div className="page-above">{above}</div>}
          <h1>{title}</h1>
          {about && <p className="muted">{about}</p>}
        </div>
        {actions && <div className="page-actions">{actions}</div>}
      </header>
      {children}
    </div>
  );
}

interface PanelProps {
  title?: ReactNode;
  about?: ReactNode;
  actions?: ReactNode;
  flush?: boolean;
  className?: string;
  children: ReactNode;
}

export function Panel({ title, about, actions, flush, className, children }: PanelProps) {
  return (
    <section className={`panel ${className ?? ""}`}>
      {(title || actions) && (
        <header className="panel-head">
          <div>
            {title && <h2>{title}</h2>}
            {about && <p className="muted small">{about}</p>}
          </div>
          {actions && <div className="panel-actions">{actions}</div>}
        </header>
      )}
      <div className={flush ? "panel-flush" : "panel-body"}>{children}</div>
    </section>
  );
}

let beat = 0;
const beats = new Set<() => void>();
setInterval(() => {
  beat += 1;
  beats.forEach((tell) => tell());
}, 15_000);

/** A moment in the operator's zone; UTC on hover. */
export function Time({ at, as = "minute" }: { at: string | null | undefined; as?: Precision | "relative" }) {
  const [, setBeat] = useState(beat);
  useEffect(() => {
    if (as !== "relative") return;
    const tell = () => setBeat(beat);
    beats.add(tell);
    return () => void beats.delete(tell);
  }, [as]);
  if (!at) return <span className="faint">–</span>;
  return (
    <time dateTime={at} title={as === "relative" ? `${local(at, "second")} · ${utc(at)}` : utc(at)}>
      {as === "relative" ? relative(at) : local(at, as)}
    </time>
  );
}

export type Tone = "good" | "warn" | "bad" | "quiet" | "info";

export function Status({ tone, children, title }: { tone: Tone; children: ReactNode; title?: string | undefined }) {
  return (
    <span className={`status status-${tone}`} title={title}>
      <span className="dot" aria-hidden="true" />
      {children}
    </span>
  );
}

export const Tag = ({ children }: { children: ReactNode }) => <span className="tag">{children}</span>;
export const Mono = ({ children, title }: { children: ReactNode; title?: string }) => (
  <code className="mono" title={title}>{children}</code>
);

const tones: Record<string, Tone> = {
  healthy: "good", degraded: "warn", refused: "bad", unknown: "quiet",
  active: "good", revoked: "quiet", expired: "warn", pending: "info", retiring: "warn", retired: "quiet", destroyed: "quiet",
  running: "info", done: "good", failed: "bad", paused: "warn", promoted: "good", rolled_back: "bad",
};
export const toneOf = (word: string): Tone => tones[word] ?? "quiet";

interface EmptyProps {
  icon: IconName;
  title: string;
  children?: ReactNode;
  action?: ReactNode;
}

export function Empty({ icon, title, children, action }: EmptyProps) {
  return (
    <div className="empty">
      <span className="empty-icon"><Icon name={icon} size={22} /></span>
      <p className="empty-title">{title}</p>
      {children && <p className="muted">{children}</p>}
      {action}
    </div>
  );
}

export function Fault({ fault, again, what }: { fault: unknown; again?: () => void; what?: string }) {
  const refused = asRefused(fault);
  if (refused.code === "sealed") {
    return (
      <Empty icon="lock" title="Sealed">
        {what ?? "This"} cannot be read while Sealgate is sealed. An administrator unseals it under Security.
      </Empty>
    );
  }
  if (refused.status === 403) {
    return <Empty icon="lock" title="Not for this role">{refused.message}</Empty>;
  }
  return (
    <div className="empty" role="alert">
      <span className="empty-icon empty-bad"><Icon name="warn" size={22} /></span>
      <p className="empty-title">{refused.title}</p>
      <p className="muted">{refused.message}</p>
      {refused.requestId && <p className="faint small">Request <Mono>{refused.requestId}</Mono></p>}
      {again && <Button variant="default" onClick={again} leftSection={<Icon name="refresh" size={16} />}>Try again</Button>}
    </div>
  );
}

export function Loading({ rows = 4, label = "Loading" }: { rows?: number; label?: string }) {
  return (
    <div className="loading" role="status" aria-label={label}>
      {Array.from({ length: rows }, (_, at) => (
        <span key={at} className={`bone bone-${at % 4}`} />
      ))}
    </div>
  );
}

interface Asked<T> {
  data: T | undefined;
  error: unknown;
  isPending: boolean;
  refetch: () => unknown;
}

/** What was asked for, or the state in which it is not there. */
export function Loaded<T>({ of, what, rows, children }: { of: Asked<T>; what?: string; rows?: number; children: (data: T) => ReactNode }) {
  if (of.data !== undefined) return <>{children(of.data)}</>;
  if (of.error) return <Fault fault={of.error} again={() => void of.refetch()} {...(what ? { what } : {})} />;
  return <Loading {...(rows ? { rows } : {})} />;
}

export function Copy({ text, label = "Copy" }: { text: string; label?: string }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    setCopied(true);
    setTimeout(() => setCopied(false), 1_600);
  };
  return (
    <Tooltip label={copied ? "Copied" : label}>
      <ActionIcon variant="subtle" color="gray" onClick={copy} aria-label={label}>
        <Icon name={copied ? "check" : "copy"} size={16} />
      </ActionIcon>
    </Tooltip>
  );
}

export function CodeBlock({ text, label }: { text: string; label: string }) {
  return (
    <div className="code-block">
      <pre tabIndex={0} role="region" aria-label={label}>{text}</pre>
      <div className="code-copy"><Copy text={text} label={`Copy ${label}`} /></div>
    </div>
  );
}

export interface Fact {
  name: string;
  value: ReactNode;
}

export function Facts({ items }: { items: (Fact | false | null | undefined)[] }) {
  return (
    <dl className="facts">
      {items.filter((item): item is Fact => Boolean(item)).map((item) => (
        <div key={item.name}>
          <dt>{item.name}</dt>
          <dd>{item.value}</dd>
        </div>
      ))}
    </dl>
  );
}

export const isRefused = (fault: unknown, code: string) => fault instanceof Refused && fault.code === code;
export { told } from "./toasts";
