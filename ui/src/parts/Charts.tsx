// Charts, loaded when the first one is looked at.

import "@mantine/charts/styles.css";
import { AreaChart, BarChart, LineChart } from "@mantine/charts";

export interface Point {
  at: string;
  [series: string]: string | number;
}

export interface Series {
  name: string;
  label: string;
  color: string;
}

interface Props {
  kind: "bars" | "lines" | "area";
  data: Point[];
  series: Series[];
  height?: number;
  write: (value: number) => string;
  legend?: boolean;
}

export function Chart({ kind, data, series, height = 220, write, legend }: Props) {
  const shared = {
    h: height, data, dataKey: "at", series, valueFormatter: write,
    withLegend: legend ?? series.length > 1,
    legendProps: { verticalAlign: "bottom" as const },
    gridAxis: "x" as const, tickLine: "none" as const, strokeDasharray: "2 4",
    xAxisProps: { minTickGap: 32 },
    yAxisProps: { width: 56, tickFormatter: write, tickCount: height < 200 ? 3 : 5, interval: 0 as const },
    tooltipAnimationDuration: 0,
  };
  if (kind === "lines") return <LineChart {...shared} withDots dotProps={{ r: 2, strokeWidth: 0 }} strokeWidth={1.6} curveType="monotone" connectNulls />;
  if (kind === "area") return <AreaChart {...shared} type="stacked" withDots={false} strokeWidth={1.4} fillOpacity={0.28} curveType="monotone" />;
  return <BarChart {...shared} type="stacked" maxBarWidth={22} barProps={{ radius: 1, isAnimationActive: false }} />;
}
export default Chart;
