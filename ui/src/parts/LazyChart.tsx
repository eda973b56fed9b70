import { type ComponentProps, Suspense, lazy } from "react";
import type { Chart } from "./Charts";

const Drawn = lazy(() => import("./Charts"));
export type { Point, Series } from "./Charts";

/** The same figures stand beside it in a table or in words; the picture is for the eye. */
export function LazyChart({ label, ...props }: ComponentProps<typeof Chart> & { label: string }) {
  return (
    <figure className="chart" role="img" aria-label={label}>
      <Suspense fallback={<span className="bone chart-bone" />}><Drawn {...props} /></Suspense>
    </figure>
  );
}
