// A fresh code before what hurts. Whatever was refused for want of one goes on by itself once it was given.

import { Suspense, lazy, useEffect, useRef, useState } from "react";
import { onStepUp } from "../api/client";

const Fresh = lazy(() => import("./Fresh"));

export function StepUp() {
  const [opened, setOpened] = useState(false);
  const answer = useRef<(given: boolean) => void>(() => undefined);

  useEffect(() => {
    onStepUp(() => {
      setOpened(true);
      // Whoever asked before is told no.
      answer.current(false);
      return new Promise((resolve) => {
        answer.current = resolve;
      });
    });
    return () => {
      onStepUp(async () => false);
      answer.current(false);
    };
  }, []);

  const close = (given: boolean) => {
    setOpened(false);
    answer.current(given);
  };
  return opened ? <Suspense><Fresh onClose={close} /></Suspense> : null;
}
