// What was found amiss with keys, the worst first, each with what to do about it: as a command, and to be done at once.

import { Button } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { send } from "../../api/client";
import { type Finding, type MadeReport, type Told, queries } from "../../api/queries";
import { exact, money, sentence } from "../../format";
import { SeverityOf } from "../../parts/alerts";
import { CodeBlock, Empty, Panel, Tag, Time, told } from "../../parts/basic";
import { Confirm } from "../../parts/confirm";
import { may, useWho } from "../../session";
import { Said } from "./Sections";

const names: Record<string, string> = {
  unused_paid: "Paid for, and not used", shared: "Shared", over_broad: "May do more than it does", expired: "Has ended, and is kept", never_used: "Never used",
  idle: "Idle", old: "Old", left_over: "Left over", no_expiry: "Has no end", repeated_calls: "The same call again",
};
const nameOf = (kind: string) => names[kind] ?? sentence(kind);

function Subject({ of }: { of: Finding["subject"] }) {
  const shown = of.name || of.id;
  return of.type === "secret" ? <Link to="/secrets/$id" params={{ id: of.id }}>{shown}</Link> : of.type === "client_key" ? <Link to="/keys/$id" params={{ id: of.id }}>{shown}</Link> : <>{shown}</>;
}

function Row({ finding, onApply }: { finding: Finding; onApply: (finding: Finding) => void }) {
  const [open, setOpen] = useState(false);
  const who = useWho();
  const { remedy } = finding;
  const canApply = remedy?.method && remedy.path && may.operate(who.role);
  return (
    <li className="alert">
      <SeverityOf of={finding.severity} />
      <div className="grow stack-tight">
        <p><strong>{nameOf(finding.kind)}</strong> <span className="alert-subject"><Subject of={finding.subject} /></span>{finding.provider && <> <Tag>{finding.provider}</Tag></>}</p>
        <p className="muted">{finding.detail.charAt(0).toUpperCase() + finding.detail.slice(1)}{finding.since && <span className="faint small"> since <Time at={finding.since} as="day" /></span>}{finding.cost ? <span className="text-warn"> {money(finding.cost)} in this time</span> : null}</p>
        {remedy && (
          <>
            <button type="button" className="more" aria-expanded={open} onClick={() => setOpen(!open)}><span>{open ? "Hide what to do" : "What to do"}</span></button>
            {open && <><p className="small">{remedy.what}</p>{remedy.command && <CodeBlock text={remedy.command} label="command" />}</>}
          </>
        )}
      </div>
      {canApply && <Button variant="default" size="xs" onClick={() => onApply(finding)} aria-label={`Do it: ${nameOf(finding.kind)}, ${finding.subject.name}`}>Do it</Button>}
    </li>
  );
}

export default function Hygiene({ report }: { report: MadeReport }) {
  const [wanted, setWanted] = useState<Finding | null>(null);
  const [only, setOnly] = useState<string | null>(null);
  const findings = (report["findings"] ?? []) as Finding[];
  const counts = new Map<string, number>();
  for (const finding of findings) counts.set(finding.kind, (counts.get(finding.kind) ?? 0) + 1);
  const shown = only ? findings.filter((finding) => finding.kind === only) : findings;
  const sum = (name: string) => Number(report.summary[name] ?? 0);
  return (
    <>
      <div className="figures">
        <div className="figure"><span className="figure-name">Findings</span><span className="figure-value">{exact(findings.length)}</span></div>
        <div className="figure"><span className="figure-name">Provider keys looked at</span><span className="figure-value">{exact(sum("secrets"))}</span></div>
        <div className="figure"><span className="figure-name">Client keys looked at</span><span className="figure-value">{exact(sum("client_keys"))}</span></div>
        <div className="figure"><span className="figure-name">Spent for nothing</span><span className="figure-value">{money(sum("cost"))}</span></div>
      </div>
      {counts.size > 1 && (
        <div className="chips" role="group" aria-label="Kind of finding">
          <button type="button" className="chip" aria-pressed={only === null} onClick={() => setOnly(null)}>All</button>
          {[...counts].map(([kind, count]) => <button key={kind} type="button" className="chip" aria-pressed={only === kind} onClick={() => setOnly(kind)}>{nameOf(kind)} {exact(count)}</button>)}
        </div>
      )}
      <Panel title="Findings" about="The worst first. Nothing is changed before somebody says so.">
        {shown.length === 0 ? <Empty icon="check" title="Nothing was found amiss" /> : <ul className="alerts">{shown.map((finding) => <Row key={`${finding.kind} ${finding.subject.id} ${finding.detail}`} finding={finding} onApply={setWanted} />)}</ul>}
      </Panel>
      {wanted?.remedy?.path && (
        <Confirm title={`${nameOf(wanted.kind)}: ${wanted.subject.name}`} action="Do it" danger={wanted.remedy.method === "DELETE"} onClose={() => setWanted(null)}
          act={async () => {
            await send(wanted.remedy?.method ?? "PATCH", wanted.remedy?.path ?? "", wanted.remedy?.body ?? undefined);
            told.done("Done.");
            await queries.invalidateQueries();
          }}>
          <p>{wanted.remedy.what}</p>
          {wanted.remedy.body && <dl className="facts">{Object.entries(wanted.remedy.body as Record<string, Told>).map(([name, value]) => <div key={name}><dt>{sentence(name)}</dt><dd><Said name={name} of={value} /></dd></div>)}</dl>}
        </Confirm>
      )}
    </>
  );
}
