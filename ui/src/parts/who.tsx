// Who an id means, where a list has only that: an operator, a client key, or a word of the house.

import { useQuery } from "@tanstack/react-query";
import { clientKeys, operators } from "../api/queries";
import { may, useWho } from "../session";

const isId = /^[0-9a-f]{8}-[0-9a-f-]{27}$/;

export function useNames(): (id: string) => string {
  const who = useWho();
  const keys = useQuery(clientKeys);
  const accounts = useQuery({ ...operators, enabled: may.administer(who.role) });
  return (id) => {
    if (id === who.id) return who.name;
    const found = keys.data?.find((one) => one.id === id) ?? accounts.data?.find((one) => one.id === id);
    return found?.name ?? (isId.test(id) ? id.slice(0, 8) : id);
  };
}
