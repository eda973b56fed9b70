// A check of a key as it goes, step by step.

import { useEffect, useRef, useState } from "react";
import { type Schemas, asRefused } from "../../api/client";
import { events } from "../../api/events";
import { Panel } from "../../parts/basic";
import { type Step, Steps } from "../../parts/Steps";

export default function Live({ id, onDone }: { id: string; onDone: () => void }) {
  const [steps, setSteps] = useState<Step[]>([]);
  const [report, setReport] = useState<Schemas["Report"] | null>(null);
  const [fault, setFault] = useState("");
  const done = useRef(onDone);
  done.current = onDone;
  useEffect(() => {
    const stop = new AbortController();
    const run = async () => {
      try {
        for await (const { event, data } of events(`/api/v1/admin/secrets/${id}/validate`, { method: "POST", signal: stop.signal })) {
          if (event === "step") setSteps((before) => [...before, data as Step]);
          else if (event === "report") setReport(data as Schemas["Report"]);
          else if (event === "failed") setFault((data as { detail: string }).detail);
        }
      } catch (refused) {
        if (!stop.signal.aborted) setFault(asRefused(refused).message);
      }
      if (!stop.signal.aborted) done.current();
    };
    void run();
    return () => stop.abort();
  }, [id]);
  const title = fault ? "The check broke off" : report ? (report.ok ? "This key is good" : report.outcome === "refused" ? "The provider refuses this key" : "Not all could be told") : "Checking";
  return (
    <Panel title={title}>
      {fault && <p className="fault" role="alert">{fault}</p>}
      <Steps steps={report?.steps ?? steps} running={!report && !fault} />
    </Panel>
  );
}
