// Shortly before a session ends for want of use: says so, and goes on with it where a hand asks for that.

import { Suspense, lazy, useEffect, useState } from "react";
import { send } from "../api/client";
import { told } from "../parts/toasts";
import { type Session, refreshSession } from "../session";

const Ending = lazy(() => import("./Ending"));

const WARN_MS = 120_000;

const left = (at: string | null | undefined, now: number) => (at ? new Date(at).getTime() - now : Number.POSITIVE_INFINITY);
const words = (ms: number) => {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  return seconds >= 60 ? `${Math.floor(seconds / 60)} min ${String(seconds % 60).padStart(2, "0")} s` : `${seconds} s`;
};

export function Idle({ session }: { session: Session }) {
  const [now, setNow] = useState(Date.now());
  const [busy, setBusy] = useState(false);
  const idle = left(session.idle_until, now);
  const end = left(session.ends_at, now);
  const least = Math.min(idle, end);

  // Once a second where it matters, else now and then.
  useEffect(() => {
    const tick = setTimeout(() => setNow(Date.now()), least > WARN_MS + 10_000 ? 5_000 : 1_000);
    return () => clearTimeout(tick);
  }, [now, least]);
  // What stands here may be older than what the house knows.
  const isNear = least < WARN_MS + 5_000;
  const isOver = least <= 0;
  useEffect(() => {
    if (isNear || isOver) void refreshSession();
  }, [isNear, isOver]);

  const stay = async () => {
    setBusy(true);
    try {
      // A call that counts as use, unlike the look at the session.
      await send("GET", "/api/v1/admin/sessions?limit=1");
      await refreshSession();
    } catch (fault) {
      told.refused(fault);
    } finally {
      setBusy(false);
    }
  };
  if (least > WARN_MS) return null;
  return <Suspense><Ending isLast={end <= idle} left={words(least)} busy={busy} onStay={() => void stay()} /></Suspense>;
}
