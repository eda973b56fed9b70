// The console's own few icons, drawn on a grid of 24 with one stroke.

const drawn = {
  home: "M4 13h6V4H4zM14 20h6V4h-6zM4 20h6v-4H4z",
  key: "M15 9a4 4 0 1 0-3.9 5L12 15h2v2h2v2h3v-3l-5.2-5.2A4 4 0 0 0 15 9zM10 9h.01",
  vault: "M4 5h16v13H4zM7 18v2M17 18v2M12 8.5a3 3 0 1 1 0 6 3 3 0 0 1 0-6zM12 8.5V7M12 16v-1.5M15 11.5h1.5M9 11.5H7.5",
  grid: "M4 4h7v7H4zM13 4h7v7h-7zM4 13h7v7H4zM13 13h7v7h-7z",
  people: "M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM3 20c0-3.3 2.7-6 6-6s6 2.7 6 6M16 4.5a3.5 3.5 0 0 1 0 6M18 14.5c1.8.9 3 2.8 3 5.5",
  chart: "M4 20h16M6 16v-5M11 16V5M16 16V9",
  sheet: "M6 3h9l4 4v14H6zM14 3v5h5M9.5 13h6M9.5 16.5h6",
  book: "M5 4h11a3 3 0 0 1 3 3v13H8a3 3 0 0 1-3-3zM5 17a3 3 0 0 1 3-3h11M9 8h6",
  shield: "M12 3l8 3v6c0 4.5-3.2 7.8-8 9-4.8-1.2-8-4.5-8-9V6zM9 12l2 2 4-4",
  plus: "M12 5v14M5 12h14",
  check: "M5 12.5l4.5 4.5L19 7.5",
  cross: "M6 6l12 12M18 6L6 18",
  copy: "M9 9h10v11H9zM5 15V4h10",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2.5v2M12 19.5v2M4.2 4.2l1.4 1.4M18.4 18.4l1.4 1.4M2.5 12h2M19.5 12h2M4.2 19.8l1.4-1.4M18.4 5.6l1.4-1.4",
  moon: "M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.5 10.5z",
  menu: "M4 7h16M4 12h16M4 17h16",
  dots: "M12 5.5v.01M12 12v.01M12 18.5v.01",
  search: "M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM15.5 15.5L20 20",
  out: "M14 4h6v6M20 4l-9 9M18 14v6H4V6h6",
  leave: "M10 4H5v16h5M15 8l4 4-4 4M19 12H9",
  warn: "M12 4l9 16H3zM12 10v4M12 17v.01",
  down: "M12 4v11M7 11l5 5 5-5M5 20h14",
  play: "M7 5l12 7-12 7z",
  pause: "M8 5v14M16 5v14",
  refresh: "M20 11a8 8 0 0 0-14.3-4M4 13a8 8 0 0 0 14.3 4M5 3v4h4M19 21v-4h-4",
  lock: "M6 11h12v9H6zM8.5 11V8a3.5 3.5 0 0 1 7 0v3",
  clock: "M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16zM12 8v4l3 2",
  chevron: "M9 6l6 6-6 6",
  candles: "M7 4v3M7 15v5M4.5 7h5v8h-5zM17 4v5M17 17v3M14.5 9h5v8h-5z",
  bell: "M6 16V11a6 6 0 0 1 12 0v5l2 2H4zM10 21h4",
  swap: "M7 4L3.5 7.5 7 11M4 7.5h12M17 13l3.5 3.5L17 20M20 16.5H8",
} as const;

export type IconName = keyof typeof drawn;

export function Icon({ name, size = 18 }: { name: IconName; size?: number }) {
  const bold = name === "dots" ? 2.6 : 1.6;
  return (
    <svg width={size} height={size} viewBox="0 0 24 24" fill="none" stroke="currentColor" strokeWidth={bold}
      strokeLinecap="round" strokeLinejoin="round" aria-hidden="true" focusable="false" className="icon">
      <path d={drawn[name]} />
    </svg>
  );
}
