// Before every screen: whoever is not signed in sees the door, at the address that he came for, and comes back to it.

import { Button } from "@mantine/core";
import { Suspense, lazy, useEffect, useRef } from "react";
import { onSignedOut } from "../api/client";
import { Empty, Fault, Loading, Page } from "../parts/basic";
import { ButtonLink } from "../parts/links";
import { type Session, forget, leaving, refreshSession, useSession } from "../session";
import { Shell } from "./Shell";

const SignIn = lazy(() => import("./SignIn").then(({ SignIn }) => ({ default: SignIn })));

/** Whose session has ended, and why. */
export interface Ended {
  name: string;
  why: string;
}

function endOf({ operator, idle_until, ends_at }: Session): Ended {
  const passed = (at: string | null | undefined) => Boolean(at) && new Date(at as string).getTime() <= Date.now() + 2_000;
  const why = passed(ends_at)
    ? "Your session has reached its longest time."
    : passed(idle_until)
      ? "Your session has ended, because nobody used it."
      : "Your session was ended: by somebody who may, or by a change of your password or role.";
  return { name: operator?.name ?? "", why: `${why} Sign in to go on where you were.` };
}

export function Gate() {
  const asked = useSession();
  const last = useRef<Session | null>(null);
  const ended = useRef<Ended | null>(null);
  useEffect(() => onSignedOut(() => void refreshSession()), []);

  const now = asked.data;
  const isIn = now?.state === "signed_in";
  if (now && isIn) {
    last.current = now;
    ended.current = null;
    leaving.byHand = false;
  } else if (now && last.current) {
    ended.current = leaving.byHand ? null : endOf(last.current);
    last.current = null;
  }
  useEffect(() => {
    if (now && !isIn) forget();
  }, [now, isIn]);

  if (now) return isIn ? <Shell session={now} /> : <Suspense><SignIn session={now} ended={ended.current} /></Suspense>;
  if (asked.error) return <div className="alone"><Fault fault={asked.error} again={() => void asked.refetch()} /></div>;
  return <div className="alone"><Loading rows={3} label="Opening the console" /></div>;
}

/** A screen that cannot be drawn: the console goes on around it. */
export function Broken({ reset }: { reset: () => void }) {
  return (
    <Page title="This screen cannot be shown"><Empty icon="warn" title="Something in it went wrong" action={<div className="row"><Button variant="default" onClick={() => location.reload()}>Load it anew</Button><ButtonLink to="/" variant="subtle" onClick={reset}>To the dashboard</ButtonLink></div>}>
      The console may have been replaced by a newer one meanwhile. Nothing was changed by this.
    </Empty></Page>
  );
}

export function Lost() {
  return (
    <Page title="There is nothing here"><Empty icon="search" title="No screen has this address" action={<ButtonLink to="/" variant="default">To the dashboard</ButtonLink>}>
      The address may be mistyped, or what it showed was removed.
    </Empty></Page>
  );
}
