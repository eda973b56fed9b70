// What seals what: the master key, a key for each category in its generations, and whether all rows are as they were left.

import { Button } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { type Schemas, api, ask } from "../../api/client";
import { integrity, keks, queries } from "../../api/queries";
import { exact, plural, sentence } from "../../format";
import { Icon } from "../../icons";
import { Loaded, Panel, Status, Time, told, toneOf } from "../../parts/basic";
import { Confirm } from "../../parts/confirm";
import { may, useWho } from "../../session";
import { Renewals } from "./Renewals";

function Job({ job }: { job: Schemas["Job"] }) {
  const share = job.total > 0 ? job.done / job.total : job.state === "done" ? 1 : 0;
  return (
    <Panel title={job.kind === "master_key" ? "Another master key" : sentence(job.kind)} about={job.outcome ?? (job.node ? `on node ${job.node.slice(0, 13)}` : "waits for a node")}>
      <div className="meter">
        <p className="meter-head"><Status tone={toneOf(job.state)}>{job.state}</Status><span className="num">{exact(job.done)} of {exact(job.total)}</span></p>
        <progress className={`meter-bar meter-${job.state === "failed" ? "bad" : "good"}`} max={1} value={share} aria-label="Progress" />
        <p className="faint small">Begun <Time at={job.created_at} as="relative" />{job.finished_at && <>, ended <Time at={job.finished_at} as="relative" /></>}</p>
      </div>
    </Panel>
  );
}

export function Hierarchy() {
  const asked = useQuery(keks);
  const sound = useQuery(integrity);
  const who = useWho();
  const [doing, setDoing] = useState<{ kind: "rotate" | "rekey" | "rewrap"; category?: string } | null>(null);
  const run = async () => {
    if (!doing) return;
    if (doing.kind === "rotate") await ask(() => api.POST("/api/v1/admin/keks/rotate", { body: doing.category ? { category: doing.category } : {} }));
    else if (doing.kind === "rewrap") await ask(() => api.POST("/api/v1/admin/keks/rewrap", {}));
    else await ask(() => api.POST("/api/v1/admin/keks/rekey", {}));
    await queries.invalidateQueries({ queryKey: ["keks"] });
    told.done(doing.kind === "rotate" ? "A new generation seals from now on." : "It has begun; calls go on meanwhile.");
  };
  return (
    <Loaded of={asked} what="The key hierarchy">
      {(found) => {
        const categories = [...new Set(found.items.map((item) => item.category))].sort();
        const master = found.items.find((item) => item.state === "active")?.master_kind ?? "";
        return (
          <div className="stack">
            {[...found.faults, ...(found.job_fault ? [found.job_fault] : [])].map((fault) => <div key={fault} className="banner banner-bad" role="status"><Icon name="warn" /><span>{fault}</span></div>)}
            {found.job && found.job.state !== "done" && <Job job={found.job} />}
            <Panel title="What seals what" about="The master key wraps one key for each category; that wraps a key for each secret."
              actions={may.administer(who.role) && (
                <>
                  <Button variant="default" size="xs" onClick={() => setDoing({ kind: "rewrap" })}>Rewrap</Button>
                  <Button variant="default" size="xs" onClick={() => setDoing({ kind: "rekey" })}>Rekey</Button>
                  <Button variant="default" size="xs" onClick={() => setDoing({ kind: "rotate" })}>Rotate all</Button>
                </>
              )}>
              <div className="tree">
                <div className="tree-root"><span className="node node-master"><Icon name="lock" /><span><strong>Master key</strong><span className="faint small">{sentence(master) || "none"}</span></span></span></div>
                <ul className="tree-branches">
                  {categories.map((category) => {
                    const generations = found.items.filter((item) => item.category === category).sort((a, b) => b.generation - a.generation);
                    return (
                      <li key={category}>
                        <div className="node-head"><h3>{sentence(category).replace("-", " ").replace(/^Ai$/, "AI")}</h3>{may.administer(who.role) && <Button size="compact-xs" variant="subtle" onClick={() => setDoing({ kind: "rotate", category })} aria-label={`Rotate ${category}`}>Rotate</Button>}</div>
                        <ul className="generations">
                          {generations.map((item) => (
                            <li key={item.id} className={`node generation generation-${item.state}`}>
                              <span className="num"><strong>{item.generation}</strong></span>
                              <Status tone={toneOf(item.state)}>{item.state}</Status>
                              <span className="muted small">{plural(item.secrets, "secret")}</span>
                              <span className="faint small">{item.age_days === 0 ? "made today" : `${plural(item.age_days, "day")} old`}</span>
                            </li>
                          ))}
                        </ul>
                      </li>
                    );
                  })}
                </ul>
              </div>
            </Panel>
            <Renewals />
            <Panel title="Are all rows as they were left?">
              <Loaded of={sound} what="This" rows={1}>
                {(told) => told.ok ? <Status tone="good">Every row is as Sealgate left it</Status> : <ul className="findings">{told.findings.map((finding) => <li key={finding}>{finding}</li>)}</ul>}
              </Loaded>
            </Panel>
            {doing && (
              <Confirm title={doing.kind === "rotate" ? `Rotate ${doing.category ?? "every category"}?` : doing.kind === "rewrap" ? "Rewrap?" : "Rekey?"} action={sentence(doing.kind)} danger={doing.kind === "rekey"} onClose={() => setDoing(null)} act={run}>
                <p>{doing.kind === "rotate" ? "A new generation of the key-encryption key is made and seals from now on. Older ones go on opening what hangs on them until they are rewrapped." : doing.kind === "rewrap" ? "Data keys that hang on older generations are wrapped anew. No value is opened, no call waits." : "Every secret gets a new data key, and its value is sealed anew. Calls go on."}</p>
              </Confirm>
            )}
          </div>
        );
      }}
    </Loaded>
  );
}
