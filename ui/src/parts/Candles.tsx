// Candles as a picture, loaded when the first one is looked at. Drawn by hand: a floating point serves the eye alone, what
// is written beside it is the provider's own text.

import { type KeyboardEvent, type PointerEvent, useEffect, useMemo, useRef, useState } from "react";
import type { Schemas } from "../api/client";
import { number } from "../format";

type Candle = Schemas["Candle"];

const HEIGHT = 340;
const [TOP, AXIS, RIGHT, VOLUME] = [10, 24, 62, 56];
const ROOM = HEIGHT - TOP - AXIS - VOLUME - 12;

/** Round steps that fit. */
function ticks(least: number, most: number, count: number): number[] {
  const rough = (most - least) / count || Math.abs(most) * 0.01 || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 2.5, 5, 10].find((factor) => factor * power >= rough) ?? 10) * power;
  const found: number[] = [];
  for (let at = Math.ceil(least / step) * step; at <= most + step * 1e-6; at += step) found.push(at);
  return found;
}

const priceOf = (value: number) => (Math.abs(value) >= 1000 ? value.toLocaleString("en", { maximumFractionDigits: 1 }) : value.toLocaleString("en", { maximumFractionDigits: Math.abs(value) < 1 ? 5 : 2, minimumFractionDigits: Math.abs(value) < 1 ? 0 : 2 }));

export default function Candles({ items, daily, label }: { items: Candle[]; daily: boolean; label: string }) {
  const frame = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  const [chosen, setChosen] = useState<number | null>(null);
  useEffect(() => {
    const seen = new ResizeObserver(([entry]) => entry && setWidth(Math.floor(entry.contentRect.width)));
    if (frame.current) seen.observe(frame.current);
    return () => seen.disconnect();
  }, []);
  useEffect(() => setChosen(null), [items]);

  const drawn = useMemo(() => items.map((one) => ({ low: Number(one.low), high: Number(one.high), open: Number(one.open), close: Number(one.close), volume: Number(one.volume) })), [items]);
  const least = Math.min(...drawn.map((one) => one.low));
  const most = Math.max(...drawn.map((one) => one.high));
  const loudest = Math.max(...drawn.map((one) => one.volume), 1e-9);
  const pad = (most - least) * 0.04 || Math.abs(most) * 0.01 || 1;
  const y = (price: number) => TOP + ((most + pad - price) / (most - least + 2 * pad)) * ROOM;
  const inner = Math.max(width - RIGHT, 0);
  const step = inner / Math.max(items.length, 1);
  const x = (at: number) => (at + 0.5) * step;
  const body = Math.max(Math.min(step * 0.64, 14), 1);

  const when = useMemo(() => {
    // Days are the provider's, so they are written as such; times are the operator's.
    const long = new Intl.DateTimeFormat(undefined, daily ? { dateStyle: "medium", timeZone: "UTC" } : { dateStyle: "medium", timeStyle: "short" });
    const short = new Intl.DateTimeFormat(undefined, daily ? { day: "numeric", month: "short", year: "2-digit", timeZone: "UTC" } : { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
    return { long: (time: string) => long.format(new Date(time)), short: (time: string) => short.format(new Date(time)) };
  }, [daily]);
  const marks = Math.max(Math.floor(inner / 150), 1);
  const places = Array.from({ length: marks }, (_, at) => Math.floor(((at + 0.5) * items.length) / marks)).filter((at, index, all) => all.indexOf(at) === index);

  const onMove = (event: PointerEvent<SVGSVGElement>) => {
    const at = Math.floor((event.clientX - event.currentTarget.getBoundingClientRect().left) / step);
    setChosen(at >= 0 && at < items.length ? at : null);
  };
  const onKey = (event: KeyboardEvent) => {
    const move = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -items.length, End: items.length }[event.key];
    if (move === undefined) return;
    event.preventDefault();
    setChosen((before) => Math.min(Math.max((before ?? items.length - (move < 0 ? 0 : 1)) + move, 0), items.length - 1));
  };
  const at = chosen ?? items.length - 1;
  const shown = items[at];
  return (
    <div className="candles" ref={frame}>
      {shown && (
        <p className="candle-words small" aria-live="polite">
          <strong className="num">{when.long(shown.time)}</strong>
          {(["open", "high", "low", "close"] as const).map((name) => <span key={name}><span className="faint">{name}</span> <span className="num">{shown[name]}</span></span>)}
          <span><span className="faint">volume</span> <span className="num">{number(Number(shown.volume))}</span></span>
        </p>
      )}
      {width > 0 && (
        <svg width={width} height={HEIGHT} role="img" aria-label={`${label}. Arrow keys go from candle to candle.`} tabIndex={0} onPointerMove={onMove} onPointerLeave={() => setChosen(null)} onKeyDown={onKey}>
          {ticks(least, most, 5).map((price) => (
            <g key={price}>
              <line className="candle-grid" x1={0} x2={inner} y1={y(price)} y2={y(price)} />
              <text className="candle-tick num" x={inner + 8} y={y(price) + 4}>{priceOf(price)}</text>
            </g>
          ))}
          {places.map((place) => items[place] && <text key={place} className="candle-tick num" x={x(place)} y={HEIGHT - 6} textAnchor="middle">{when.short(items[place].time)}</text>)}
          {drawn.map((one, index) => {
            const rises = one.close >= one.open;
            const [upper, lower] = [y(Math.max(one.open, one.close)), y(Math.min(one.open, one.close))];
            const tall = (one.volume / loudest) * VOLUME;
            return (
              <g key={items[index]?.time} className={rises ? "candle-up" : "candle-down"}>
                <line x1={x(index)} x2={x(index)} y1={y(one.high)} y2={y(one.low)} />
                <rect x={x(index) - body / 2} y={upper} width={body} height={Math.max(lower - upper, 1)} />
                <rect className="candle-volume" x={x(index) - body / 2} y={HEIGHT - AXIS - tall} width={body} height={tall} />
              </g>
            );
          })}
          {chosen !== null && <line className="candle-cross" x1={x(chosen)} x2={x(chosen)} y1={TOP} y2={HEIGHT - AXIS} />}
        </svg>
      )}
    </div>
  );
}
