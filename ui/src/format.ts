// Figures and times as people read them. Times are the operator's; their UTC stands beside them where they are shown.

const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric" });
const date = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const minute = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const second = new Intl.DateTimeFormat(undefined, {
  day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false,
});
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const hourOnly = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hour12: false });
const away = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

export type Precision = "day" | "date" | "minute" | "second" | "clock" | "hour";
const writers = { day, date, minute, second, clock, hour: hourOnly };

export const local = (time: string | number | Date, precision: Precision = "minute") =>
  writers[precision].format(new Date(time));
export const utc = (time: string | number | Date) => new Date(time).toISOString().replace("T", " ").replace(/\.\d+Z/, " UTC");
export const zone = () => Intl.DateTimeFormat().resolvedOptions().timeZone;

const steps: [Intl.RelativeTimeFormatUnit, number][] = [
  ["year", 31_536_000], ["month", 2_592_000], ["day", 86_400], ["hour", 3_600], ["minute", 60],
];

export function relative(time: string | number, now = Date.now()): string {
  const seconds = (new Date(time).getTime() - now) / 1000;
  for (const [unit, length] of steps) {
    if (Math.abs(seconds) >= length) return away.format(Math.trunc(seconds / length), unit);
  }
  return seconds < 0 ? (seconds > -5 ? "just now" : away.format(Math.trunc(seconds), "second")) : "in a moment";
}

export const number = (value: number) => (Math.abs(value) >= 100_000 ? short.format(value) : whole.format(value));
export const exact = (value: number) => whole.format(value);
export const plural = (count: number, one: string, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;

export function duration(ms: number | null | undefined): string {
  if (ms === null || ms === undefined) return "–";
  if (ms < 1) return ms === 0 ? "0 ms" : `${ms.toFixed(2)} ms`;
  if (ms < 100) return `${ms.toFixed(1)} ms`;
  if (ms < 10_000) return `${Math.round(ms)} ms`;
  return `${(ms / 1000).toFixed(1)} s`;
}

export function bytes(count: number): string {
  const units = ["B", "KB", "MB", "GB", "TB"];
  let at = 0;
  let left = count;
  while (left >= 1000 && at < units.length - 1) {
    left /= 1000;
    at += 1;
  }
  return `${at === 0 || left >= 100 ? Math.round(left) : left.toFixed(1)} ${units[at]}`;
}

export const money = (dollars: number) =>
  dollars === 0 ? "$0" : dollars < 0.01 ? `$${dollars.toFixed(4)}` : `$${dollars.toLocaleString("en", { maximumFractionDigits: 2, minimumFractionDigits: 2 })}`;

export const percent = (share: number) => {
  const hundredths = share * 100;
  if (hundredths === 0) return "0 %";
  return `${hundredths < 0.1 ? "<0.1" : hundredths < 10 ? hundredths.toFixed(1) : Math.round(hundredths)} %`;
};

/** How a figure moved against the one before; null where there is nothing to compare with. */
export const change = (now: number, before: number): number | null => (before === 0 ? null : (now - before) / before);

export const words = (name: string) => name.replaceAll("_", " ");
export const sentence = (name: string) => {
  const text = words(name);
  return text.charAt(0).toUpperCase() + text.slice(1);
};

/** For `<input type="datetime-local">`, in the operator's zone. */
export function forInput(time: string | number): string {
  const at = new Date(time);
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
export const fromInput = (text: string): string | null => {
  const at = new Date(text);
  return text && !Number.isNaN(at.getTime()) ? at.toISOString() : null;
};
