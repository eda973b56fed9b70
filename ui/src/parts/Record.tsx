// One record of the trail, whole.

import { Drawer } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import type { Schemas } from "../api/client";
import { bytes, duration, money, sentence } from "../format";
import { CodeBlock, Facts, Mono, Status, Tag, Time } from "./basic";
import { actorOf, callOf, toneOfStatus } from "./Records";

type Record = Schemas["Record"];

export default function Whole({ record, onClose }: { record: Record | null; onClose: () => void }) {
  return (
    <Drawer opened={record !== null} onClose={onClose} position="right" size={520} title="One record">
      {record && (
        <div className="stack">
          <div>
            <p className="record-call"><span className="method">{record.method}</span> {callOf(record)}</p>
            <p className="row-wrap"><Status tone={toneOfStatus(record.status_code)}>{record.status_code ?? "no status"}</Status><Tag>{record.kind}</Tag>{record.fault && <span className="muted small">{record.fault === "us" ? "our fault" : `the ${record.fault}'s fault`}</span>}{record.error_code && <Mono>{record.error_code}</Mono>}</p>
          </div>
          <Facts items={[
            { name: "When", value: <><Time at={record.timestamp} as="second" /> <span className="faint small">{new Date(record.timestamp).toISOString()}</span></> },
            { name: "Who", value: record.actor.id && record.actor.type === "key" ? <Link to="/keys/$id" params={{ id: record.actor.id }}>{actorOf(record)}</Link> : <>{actorOf(record)} <span className="faint">({record.actor.type})</span></> },
            { name: "From", value: record.address ?? "–" },
            record.provider ? { name: "Provider", value: <Link to="/providers/$id" params={{ id: record.provider }}>{record.provider}</Link> } : null,
            record.secret ? { name: "Provider key", value: <><Link to="/secrets/$id" params={{ id: record.secret }}>open</Link>{record.version ? `, version ${record.version}` : ""}</> } : null,
            { name: "Request", value: <Mono>{record.request_id}</Mono> },
            { name: "Took", value: <>{duration(record.duration_ms)}{record.upstream_ms > 0 && <span className="faint"> of which {duration(record.upstream_ms)} at the provider</span>}</> },
            { name: "Bytes", value: `${bytes(record.bytes_in)} in, ${bytes(record.bytes_out)} out` },
            record.retries > 0 ? { name: "Sent again", value: `${record.retries} times` } : null,
            record.scrub_hits > 0 ? { name: "Key blanked", value: `${record.scrub_hits} times` } : null,
            record.model ? { name: "Model", value: record.model } : null,
            record.tokens ? { name: "Tokens", value: `${record.tokens.input} in, ${record.tokens.output} out` } : null,
            record.cost !== null && record.cost !== undefined ? { name: "Cost", value: money(record.cost) } : null,
            { name: "End", value: sentence(record.end) },
            { name: "In the chain", value: <>{record.node.slice(0, 12)} <span className="faint">at</span> {record.sequence}</> },
            { name: "Id", value: <Mono>{record.id}</Mono> },
          ]} />
          {record.detail && <div className="stack-tight"><h3>Detail</h3><CodeBlock text={JSON.stringify(record.detail, null, 2)} label="detail" /></div>}
        </div>
      )}
    </Drawer>
  );
}
