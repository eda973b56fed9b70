// Who sits before the console: an operator with a session, or whoever holds a key. A house without sessions knows keys
// alone. A key lives in the memory of this page and is gone when it is loaded again.

import { queryOptions, useQuery } from "@tanstack/react-query";
import { createContext, useContext } from "react";
import { Refused, type Schemas, credential, headers, send } from "./api/client";

export interface Operator {
  id: string;
  name: string;
  role: Schemas["Role"];
  email?: string | null;
}

export interface Session {
  state: "first_run" | "set_up" | "signed_out" | "signed_in";
  operator: Operator | null;
  stepped_up_until: string | null;
  idle_until: string | null;
  ends_at: string | null;
  sealed: boolean;
  version: string;
  recovery_codes?: string[];
}

/** `keys`: this house knows no sessions. */
export type Standing = { by: "session"; session: Session } | { by: "key"; operator: Operator } | { by: "none"; session: Session | null };

async function ownOperator(): Promise<Operator> {
  const list = await send<Schemas["ClientKeys"]>("GET", "/api/v1/admin/api-keys?limit=1000").catch((fault: unknown) => {
    // Sealed, the list is closed, and the key may be a good one all the same.
    if (fault instanceof Refused && fault.code === "sealed") return { items: [] as Schemas["ClientKey"][] };
    throw fault;
  });
  const own = list.items.find((item) => item.key_preview === credential.preview());
  return { id: own?.id ?? "", name: own?.name ?? "A client key", role: own?.role ?? "admin" };
}

export const standing = queryOptions({
  queryKey: ["session"],
  staleTime: 30_000,
  refetchInterval: 60_000,
  retry: (count, fault) => fault instanceof Refused && fault.status === 0 && count < 2,
  queryFn: async (): Promise<Standing> => {
    if (credential.holdsKey()) return { by: "key", operator: await ownOperator() };
    const response = await fetch("/api/v1/session", { headers: headers() }).catch(() => {
      throw Refused.unreached();
    });
    if (response.status === 404) return { by: "none", session: null };
    if (!response.ok) throw await Refused.of(response);
    const session = (await response.json()) as Session;
    return session.state === "signed_in" ? { by: "session", session } : { by: "none", session };
  },
});

export const useStanding = () => useQuery(standing);

const Who = createContext<Operator>({ id: "", name: "", role: "guest" });
export const WhoProvider = Who.Provider;
export const useWho = () => useContext(Who);

/** What the roles of the house allow; the house decides, this only spares dead ends. */
export const may = {
  operate: (role: Schemas["Role"]) => role === "admin" || role === "operator",
  administer: (role: Schemas["Role"]) => role === "admin",
  verify: (role: Schemas["Role"]) => role === "admin" || role === "auditor",
};
