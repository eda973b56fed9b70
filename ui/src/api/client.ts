// How the console speaks to the house: by the session's cookie, which scripts cannot read. Must never write a credential
// to the page, its address or the browser's storage.

import createClient from "openapi-fetch";
import type { components, paths } from "./schema";

export type Schemas = components["schemas"];
export type Report = Schemas["Report"];

export interface FieldFault {
  field: string;
  fault: string;
}

interface Body {
  error?: string;
  code?: string;
  detail?: string;
  request_id?: string;
  fields?: FieldFault[];
  report?: Report;
  reset_at?: string | null;
}

/** Every no of the house, and the one that nobody answered. */
export class Refused extends Error {
  readonly code: string;
  readonly fields: FieldFault[];
  readonly report: Report | undefined;
  readonly requestId: string | undefined;
  readonly title: string;

  constructor(
    readonly status: number,
    body: Body,
    readonly retryAfter: number | null = null,
  ) {
    super(body.detail ?? body.error ?? "The house did not say why.");
    this.title = body.error ?? "It did not work";
    this.code = body.code ?? "unknown";
    this.fields = body.fields ?? [];
    this.report = body.report;
    this.requestId = body.request_id;
  }

  static async of(response: Response, body?: unknown): Promise<Refused> {
    let read = body as Body | undefined;
    if (!read || typeof read !== "object") read = (await response.json().catch(() => ({}))) as Body;
    const retry = Number(response.headers.get("Retry-After"));
    return new Refused(response.status, read, Number.isFinite(retry) && retry > 0 ? retry : null);
  }

  static unreached(): Refused {
    return new Refused(0, {
      code: "unreached",
      error: "Sealgate does not answer",
      detail: "The admin face could not be reached. It may be starting, or the network is down.",
    });
  }

  of(field: string): string | undefined {
    return this.fields.find((fault) => fault.field === field || fault.field.startsWith(`${field}.`) || fault.field.startsWith(`${field}[`))?.fault;
  }
}

export const asRefused = (fault: unknown): Refused =>
  fault instanceof Refused ? fault : new Refused(0, { code: "console", error: "The console failed", detail: String(fault) });

/** Told where an answer says that nobody is signed in any more. */
type Listener = () => void;
const signedOut = new Set<Listener>();
export const onSignedOut = (listener: Listener) => {
  signedOut.add(listener);
  return () => void signedOut.delete(listener);
};

// A session ends when no hand has used it for a while. What the page asks for by itself says so, that an open page keeps
// nobody signed in.
let touched = Date.now();
const touch = () => {
  touched = Date.now();
};
for (const sign of ["pointerdown", "keydown", "wheel", "touchstart"]) addEventListener(sign, touch, { capture: true, passive: true });
const ATTENDED_MS = 20_000;
const UNATTENDED = "X-Sealgate-Unattended";
const isAttended = () => Date.now() - touched < ATTENDED_MS;

export const headers = (more: Record<string, string> = {}): Record<string, string> => (isAttended() ? more : { ...more, [UNATTENDED]: "1" });

/** Asks for a fresh code; false if the operator would rather not. */
let stepUp: () => Promise<boolean> = async () => false;
export const onStepUp = (ask: () => Promise<boolean>) => {
  stepUp = ask;
};

interface Answered<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** Sends, asks for a fresh code where one is wanted and sends again; throws what was refused. */
export async function ask<T>(make: () => Promise<Answered<T>>): Promise<T> {
  for (let tried = 0; ; tried += 1) {
    const { data, error, response } = await make().catch(() => {
      throw Refused.unreached();
    });
    if (response.ok) return data as T;
    const refused = await Refused.of(response, error);
    if (refused.code === "step_up_required" && tried === 0 && (await stepUp())) continue;
    if (refused.status === 401) signedOut.forEach((listener) => listener());
    throw refused;
  }
}

export const api = createClient<paths>({ baseUrl: "/" });
api.use({
  onRequest({ request }) {
    if (!isAttended()) request.headers.set(UNATTENDED, "1");
    return request;
  },
});

const asked = (method: string, path: string, body?: unknown) => {
  const init: RequestInit = { method, headers: headers(body === undefined ? {} : { "Content-Type": "application/json" }) };
  if (body !== undefined) init.body = JSON.stringify(body);
  return fetch(path, init);
};

/** For what the description does not know in its types. */
export const send = <T>(method: string, path: string, body?: unknown): Promise<T> =>
  ask<T>(async () => {
    const response = await asked(method, path, body);
    if (!response.ok) return { response };
    const text = await response.text();
    return { response, data: (text ? JSON.parse(text) : undefined) as T };
  });

/** A file that the house sends, kept where the browser keeps such. */
export async function download(method: string, path: string, name: string, body?: unknown): Promise<void> {
  const blob = await ask<Blob>(async () => {
    const response = await asked(method, path, body);
    return response.ok ? { response, data: await response.blob() } : { response };
  });
  keep(blob, name);
}

export function keep(blob: Blob, name: string) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1_000);
}
