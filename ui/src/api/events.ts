// Server-sent events over fetch: unlike EventSource it can carry a header and a body. Must never buffer what was read.

import { Refused, headers } from "./client";

export interface ServerEvent {
  id: string | undefined;
  event: string;
  data: unknown;
}

interface Asked {
  method?: string;
  body?: unknown;
  signal: AbortSignal;
  lastId?: string | undefined;
}

export async function* events(path: string, { method = "GET", body, signal, lastId }: Asked): AsyncGenerator<ServerEvent> {
  const more: Record<string, string> = { Accept: "text/event-stream" };
  if (lastId) more["Last-Event-ID"] = lastId;
  if (body !== undefined) more["Content-Type"] = "application/json";
  const init: RequestInit = { method, headers: headers(more), signal };
  if (body !== undefined) init.body = JSON.stringify(body);
  const response = await fetch(path, init).catch((fault: unknown) => {
    throw signal.aborted ? fault : Refused.unreached();
  });
  if (!response.ok || !response.body) throw await Refused.of(response);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let left = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      left += value;
      for (let end = left.indexOf("\n\n"); end >= 0; end = left.indexOf("\n\n")) {
        const event = parsed(left.slice(0, end));
        left = left.slice(end + 2);
        if (event) yield event;
      }
    }
  } finally {
    reader.cancel().catch(() => undefined);
  }
}

function parsed(block: string): ServerEvent | null {
  const event: ServerEvent = { id: undefined, event: "message", data: undefined };
  let data: string | null = null;
  for (const line of block.split("\n")) {
    const at = line.indexOf(":");
    if (at <= 0) continue;
    const [name, value] = [line.slice(0, at), line.slice(at + 1).replace(/^ /, "")];
    if (name === "id") event.id = value;
    else if (name === "event") event.event = value;
    else if (name === "data") data = data === null ? value : `${data}\n${value}`;
  }
  if (data === null) return null;
  event.data = JSON.parse(data);
  return event;
}
