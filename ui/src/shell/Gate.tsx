// Before every screen: whoever is not signed in sees the door, at the address that he came for.

import { ButtonLink } from "../parts/links";
import { useQueryClient } from "@tanstack/react-query";
import { Suspense, lazy, useEffect } from "react";
import { credential } from "../api/client";
import { Empty, Fault, Loading, Page } from "../parts/basic";
import { useStanding } from "../session";
import { Shell } from "./Shell";

const SignIn = lazy(() => import("./SignIn").then(({ SignIn }) => ({ default: SignIn })));

export function Gate() {
  const asked = useStanding();
  const client = useQueryClient();
  useEffect(
    () =>
      credential.onSignedOut(() => {
        credential.drop();
        void client.invalidateQueries({ queryKey: ["session"] });
      }) as unknown as () => void,
    [client],
  );
  if (asked.data) return asked.data.by === "none" ? <Suspense><SignIn session={asked.data.session} /></Suspense> : <Shell standing={asked.data} />;
  if (asked.error) return <div className="alone"><Fault fault={asked.error} again={() => void asked.refetch()} /></div>;
  return <div className="alone"><Loading rows={3} label="Opening the console" /></div>;
}

export function Lost() {
  return (
    <Page title="There is nothing here"><Empty icon="search" title="No screen has this address" action={<ButtonLink to="/" variant="default">To the dashboard</ButtonLink>}>
      The address may be mistyped, or what it showed was removed.
    </Empty></Page>
  );
}
