// A new value on its way in, as a picture: its share of the calls, the step it is at, when the next one comes.

import { Button } from "@mantine/core";
import { useEffect, useState } from "react";
import { type Schemas, send } from "../../api/client";
import { queries } from "../../api/queries";
import { number, percent, relative, sentence } from "../../format";
import { Panel, Status, Time, told, toneOf } from "../../parts/basic";
import { Confirm } from "../../parts/confirm";

type Secret = Schemas["Secret"];
type Moving = NonNullable<Secret["rotation"]>;
type Wish = "promote" | "rollback" | "pause" | "resume";

const part = (some: number, of: number) => (some === 0 ? "0" : `${number(some)} (${percent(some / of)})`);

const refresh = () => queries.invalidateQueries({ queryKey: ["secrets"] });

export default function RotationPanel({ secret, moving, mayAct }: { secret: Secret; moving: Moving; mayAct: boolean }) {
  const [asking, setAsking] = useState<"promote" | "rollback" | null>(null);
  const [, beat] = useState(0);
  const isOpen = moving.state === "running" || moving.state === "paused";
  useEffect(() => {
    if (!isOpen) return;
    const tick = setInterval(() => {
      beat((before) => before + 1);
      void refresh();
    }, 2_000);
    return () => clearInterval(tick);
  }, [isOpen]);
  const wish = async (what: Wish) => {
    await send("POST", `/api/v1/admin/secrets/${secret.id}/rotation/${what}`, {});
    await refresh();
    told.done({ promote: "The new key takes over.", rollback: "The former key serves all calls again.", pause: "Held at this step.", resume: "It goes on." }[what]);
  };
  const next = new Date(moving.step_since).getTime() + moving.hold_seconds * 1000;
  const isLast = moving.step >= moving.steps.length - 1;
  return (
    <Panel
      title={moving.state === "rolled_back" ? "The new key was rolled back" : moving.state === "promoted" ? "The new key has taken over" : "A new key is taking over"}
      about={<>v{moving.from_version} to v{moving.to_version}, begun <Time at={moving.started_at} as="relative" /></>}
      actions={mayAct && (isOpen ? (
        <>
          {moving.state === "running" ? <Button size="xs" variant="default" onClick={() => void wish("pause").catch(told.refused)}>Pause</Button> : <Button size="xs" variant="default" onClick={() => void wish("resume").catch(told.refused)}>Go on</Button>}
          <Button size="xs" variant="default" onClick={() => setAsking("rollback")}>Roll back</Button>
          <Button size="xs" onClick={() => setAsking("promote")}>Promote</Button>
        </>
      ) : moving.state === "promoted" && !moving.retired_at && <Button size="xs" variant="default" onClick={() => setAsking("rollback")}>Roll back</Button>)}
    >
      <div className="stack-tight">
        <div className="moving-head">
          <Status tone={toneOf(moving.state)}>{sentence(moving.state)}</Status>
          <span className="muted small">{moving.state === "paused" ? "held until somebody lets it go on" : moving.state !== "running" ? "" : isLast ? `judged at the last step, ends ${relative(next)}` : `next step, ${moving.steps[moving.step + 1]} %, ${next > Date.now() ? relative(next) : "as soon as it has shown itself"}`}</span>
        </div>
        <div className="moving" role="img" aria-label={`${moving.share} percent of the calls use the new key`}>
          <span className="moving-old">v{moving.from_version} · {100 - moving.share} %</span>
          <progress className="meter-bar moving-bar" max={100} value={moving.share} aria-hidden="true" />
          <span className="moving-new">v{moving.to_version} · {moving.share} %</span>
        </div>
        <ol className="moving-steps">
          {moving.steps.map((share, at) => (
            <li key={`${share}-${at}`} className={moving.state === "promoted" || at < moving.step ? "past" : at === moving.step && isOpen ? "now" : ""} aria-current={at === moving.step && isOpen ? "step" : undefined}>{share} %</li>
          ))}
        </ol>
        <table className="table flush">
          <thead>
            <tr><th scope="col">Version</th><th scope="col" className="right">Calls</th><th scope="col" className="right">Refused</th><th scope="col" className="right">Failed</th></tr>
          </thead>
          <tbody>
            {([["new", moving.to_version], ["old", moving.from_version]] as const).map(([side, version]) => {
              const { calls, refused, failed } = moving.calls[side];
              return (
                <tr key={side}>
                  <td>v{version}, the {side === "new" ? "new" : "former"} one</td>
                  <td className="right">{number(calls)}</td>
                  <td className={refused > 0 ? "right text-bad" : "right"}>{part(refused, calls)}</td>
                  <td className={failed > 0 ? "right text-bad" : "right"}>{part(failed, calls)}</td>
                </tr>
              );
            })}
          </tbody>
        </table>
        {moving.calls.repeated > 0 && <p className="muted small">{number(moving.calls.repeated)} that the provider refused with the new key were served with the former one: nobody noticed.</p>}
        {moving.calls.not_repeated > 0 && <p className="text-bad small">{number(moving.calls.not_repeated)} were refused and could not be sent again: their bodies were longer than 64 KiB, or of unknown length.</p>}
        {moving.why && <p className={moving.state === "rolled_back" ? "text-bad" : "muted"}>{moving.why}</p>}
        {moving.state === "promoted" && <p className="muted small">{moving.retired_at ? <>The former value was destroyed <Time at={moving.retired_at} as="relative" />.</> : <>The former key was used last <Time at={moving.old_used_at} as="relative" />; it is destroyed once no node uses it any more.</>}</p>}
      </div>
      {asking && (
        <Confirm title={asking === "promote" ? "Let the new key take over now?" : "Give the new key up?"} action={asking === "promote" ? "Promote" : "Roll back"} danger={asking === "rollback"} onClose={() => setAsking(null)} act={() => wish(asking)}>
          <p>{asking === "promote" ? "All calls use the new key from now on, without the steps that are left." : "All calls use the former key again, at once. The new one serves nobody."}</p>
        </Confirm>
      )}
    </Panel>
  );
}
