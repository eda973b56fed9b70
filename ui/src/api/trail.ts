// The trail as it grows: follows it, and goes on behind the last record where the connection was lost.

import { useEffect, useRef, useState } from "react";
import { Refused, type Schemas, asRefused } from "./client";
import { events } from "./events";
import type { TrailAsked } from "./queries";

export type Following = "off" | "opening" | "live" | "waiting" | "refused";

export function useTrail(asked: TrailAsked, last: number, on: boolean, take: (record: Schemas["Record"]) => void): Following {
  const [state, setState] = useState<Following>("off");
  const taker = useRef(take);
  taker.current = take;
  const query = new URLSearchParams({ last: String(last) });
  for (const [name, value] of Object.entries(asked)) if (value !== undefined && value !== "") query.set(name, String(value));
  const path = `/api/v1/admin/audit/stream?${query}`;

  useEffect(() => {
    if (!on) {
      setState("off");
      return;
    }
    const stop = new AbortController();
    let lastId: string | undefined;
    const follow = async () => {
      for (let wait = 500; !stop.signal.aborted; wait = Math.min(wait * 2, 15_000)) {
        setState((before) => (before === "waiting" ? before : "opening"));
        try {
          // What stands there already is told once, not at every return.
          const from = lastId ? path.replace(`last=${last}`, "last=0") : path;
          setTimeout(() => !stop.signal.aborted && setState((before) => (before === "opening" ? "live" : before)), 400);
          for await (const { event, id, data } of events(from, { signal: stop.signal, lastId })) {
            setState("live");
            wait = 500;
            lastId = id ?? lastId;
            if (event === "record") taker.current(data as Schemas["Record"]);
          }
        } catch (fault) {
          const refused = asRefused(fault);
          if (fault instanceof Refused && [401, 403].includes(refused.status)) {
            setState("refused");
            return;
          }
        }
        if (stop.signal.aborted) return;
        setState("waiting");
        await new Promise((resolve) => setTimeout(resolve, wait));
      }
    };
    void follow();
    return () => stop.abort();
  }, [path, on, last]);
  return state;
}
