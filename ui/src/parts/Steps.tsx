// The steps of a check, as they come in or as they were kept.

import type { Schemas } from "../api/client";
import { duration, sentence } from "../format";
import { Icon } from "../icons";

export type Step = Schemas["Step"];

const names: Record<string, string> = {
  rows: "Stored rows", format: "Format", live: "Live call", permissions: "Permissions", limits: "Limits", expiry: "Expiry", account: "Account",
};

export function Steps({ steps, running }: { steps: Step[]; running?: boolean }) {
  return (
    <ol className="steps" aria-live="polite">
      {steps.map((step, at) => (
        <li key={`${step.name}-${at}`} className={`step step-${step.ok === true ? "good" : step.ok === false ? "bad" : "skipped"}`}>
          <span className="step-mark" aria-hidden="true">{step.ok === true ? <Icon name="check" size={14} /> : step.ok === false ? <Icon name="cross" size={14} /> : "–"}</span>
          <div>
            <p className="step-head">
              <span>{names[step.name] ?? sentence(step.name)}<span className="hidden">{step.ok === true ? ": good" : step.ok === false ? ": failed" : ": not told"}</span></span>
              <span className="faint small num">{step.ms > 0 ? duration(step.ms) : ""}</span>
            </p>
            <p className="muted small">{step.detail}</p>
            {step.remedy && <p className="step-remedy small"><strong>What to do:</strong> {step.remedy}</p>}
          </div>
        </li>
      ))}
      {running && (
        <li className="step step-running">
          <span className="step-mark"><span className="spinner" /></span>
          <div><p className="step-head"><span>{steps.length === 0 ? "Beginning…" : "Asking the provider…"}</span></p></div>
        </li>
      )}
    </ol>
  );
}
