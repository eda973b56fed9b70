// The history of a symbol, in a word or two; and how more of it is fetched.

import { type Schemas, api, ask } from "../api/client";
import { queries } from "../api/queries";
import { Status, type Tone } from "./basic";

export const causes: Record<string, string> = { asked: "asked for", schedule: "by schedule" };
const tones: Record<Schemas["BackfillStatus"], Tone> = { pending: "quiet", in_progress: "info", completed: "good", failed: "bad" };
const said: Record<Schemas["BackfillStatus"], string> = { pending: "waits", in_progress: "being fetched", completed: "complete", failed: "failed" };
export const HistoryState = ({ state, why }: { state: Schemas["BackfillStatus"]; why?: string | null | undefined }) => <Status tone={tones[state]} title={why ?? undefined}>{said[state]}</Status>;
export const Day = ({ at }: { at: string | null | undefined }) => (at ? <time dateTime={at} title={at} className="num nowrap">{at.slice(0, 10)}</time> : <span className="faint">–</span>);

export async function fetchHistory(body: Schemas["BackfillBody"], go: (id: string) => unknown) {
  const run = await ask(() => api.POST("/api/v1/admin/backfill", { body }));
  await Promise.all([queries.invalidateQueries({ queryKey: ["runs"] }), queries.invalidateQueries({ queryKey: ["symbols"] })]);
  await go(run.id);
}
