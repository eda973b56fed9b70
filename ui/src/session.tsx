// Who sits before the console: an operator with a session, or nobody yet. The session is the browser's cookie alone.

import { queryOptions, useQuery } from "@tanstack/react-query";
import { createContext, useContext } from "react";
import { Refused, type Schemas, api, ask, send } from "./api/client";
import { queries } from "./api/queries";
import { told } from "./parts/toasts";

export type Session = Schemas["Session"];
export type Operator = Schemas["SignedIn"];

export const session = queryOptions({
  queryKey: ["session"],
  staleTime: 20_000,
  refetchInterval: 30_000,
  retry: (count, fault) => fault instanceof Refused && fault.status === 0 && count < 2,
  queryFn: () => ask(() => api.GET("/api/v1/session", {})),
});

export const useSession = () => useQuery(session);
export const refreshSession = () => queries.invalidateQueries({ queryKey: ["session"] });

/** What was read goes with whoever read it. */
export const forget = () => queries.removeQueries({ predicate: ({ queryKey }) => queryKey[0] !== "session" });

/** Whether he went by himself, and so needs not be told that his session has ended. */
export const leaving = { byHand: false };

export async function signOut() {
  leaving.byHand = true;
  try {
    await send("DELETE", "/api/v1/session");
    await refreshSession();
  } catch (fault) {
    leaving.byHand = false;
    told.refused(fault);
  }
}

/** An invitation that was made in this page and is taken up in it; held in no address. */
export const handed = { invitation: "" };

const Who = createContext<Operator>({ id: "", name: "", role: "guest", recovery_codes_left: 0 });
export const WhoProvider = Who.Provider;
export const useWho = () => useContext(Who);

/** What the roles of the house allow; the house decides, this only spares dead ends. */
export const may = {
  operate: (role: Schemas["Role"]) => role === "admin" || role === "operator",
  administer: (role: Schemas["Role"]) => role === "admin",
  verify: (role: Schemas["Role"]) => role === "admin" || role === "auditor",
};
