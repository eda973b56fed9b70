// A year of prices, read through Sealgate and drawn. The page holds no key: its origin is listed there,
// with the few routes that it may read.

const GATE = document.querySelector("script[data-gate]").dataset.gate.replace(/\/$/, "");
const MOST_PAGES = 20;
const DAY = 24 * 60 * 60 * 1000;

const at = (id) => document.getElementById(id);
const money = (value) => value.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const whole = (value) => value.toLocaleString("en", { maximumFractionDigits: 0 });
const short = (value) => value.toLocaleString("en", { notation: "compact", maximumFractionDigits: 1 });
const day = (time) =>
  new Date(time).toLocaleDateString("en", { day: "numeric", month: "short", year: "numeric" });

// Something that the reader can be told, in his own words.
class Told extends Error {
  constructor(title, text, settings) {
    super(title);
    Object.assign(this, { title, text, settings });
  }
}

// A plain GET: no header of our own, so the browser need not ask first, and no cookie.
async function read(url) {
  let answer;
  try {
    answer = await fetch(url, { credentials: "omit", cache: "no-store", referrerPolicy: "no-referrer" });
  } catch {
    throw await whyNothingCame();
  }
  if (answer.ok) return answer;
  const said = await answer.json().catch(() => ({}));
  if (answer.status === 429) {
    const seconds = Number(answer.headers.get("Retry-After") ?? 60);
    const then = new Date(Date.now() + seconds * 1000).toLocaleTimeString("en", { timeStyle: "short" });
    throw new Told("Enough for now", `All calls of this page are used up. Prices are back at ${then}.`);
  }
  if (answer.status === 403) {
    throw new Told(
      "Sealgate does not let this page read that",
      `This page's origin is listed, but not with this route. ${said.detail ?? ""}`,
    );
  }
  throw new Told("No prices this time", said.detail ?? `Sealgate answered with status ${answer.status}.`);
}

// A browser does not tell a page why it got nothing. Whether anybody is there can be asked, though.
async function whyNothingCame() {
  try {
    await fetch(`${GATE}/healthz`, { mode: "no-cors", credentials: "omit", cache: "no-store" });
  } catch {
    return new Told("Sealgate cannot be reached", `Nobody answers at ${GATE}. Is it running?`);
  }
  return new Told(
    "This page may not read prices",
    `Sealgate is there, but it does not know pages of ${location.origin}. Whoever runs it can list them:`,
    `[[browser.origins]]\norigin = "${location.origin}"\ntier = "standard"\nroutes = ["sandbox:GET:/v2/aggs/**"]`,
  );
}

// All bars of a year, page by page as the provider gives them.
async function bars(ticker) {
  const to = new Date();
  const from = new Date(to - 364 * DAY);
  const date = (moment) => moment.toISOString().slice(0, 10);
  let next = `${GATE}/sandbox/v2/aggs/ticker/${encodeURIComponent(ticker)}/range/1/week/${date(from)}/${date(to)}`;
  const byTime = new Map();
  let left = null;
  for (let page = 0; next && page < MOST_PAGES; page += 1) {
    const answer = await read(next);
    left = answer.headers.get("X-Sealgate-RateLimit-Remaining");
    const { results = [], next_url: more } = await answer.json();
    for (const bar of results) byTime.set(bar.t, bar);
    // Sealgate wrote its own address there, and nobody else's is followed.
    next = more?.startsWith(`${GATE}/`) ? more : null;
  }
  const all = [...byTime.values()].sort((one, other) => one.t - other.t);
  if (all.length < 2) throw new Told("No prices", `The provider has no prices for ${ticker}.`);
  return { all, left };
}

// Round numbers between which the prices lie.
function ticks(low, high, most) {
  const raw = (high - low) / most;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((size) => size >= raw);
  const first = Math.floor(low / step) * step;
  const marks = [];
  for (let mark = first; mark < high + step; mark += step) marks.push(mark);
  return marks;
}

function element(name, attributes, parent, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  parent.append(made);
  return made;
}

function draw(all) {
  const plot = at("plot");
  const { width, height } = plot.getBoundingClientRect();
  const closes = all.map((bar) => bar.c);
  const marks = ticks(Math.min(...closes), Math.max(...closes), height < 300 ? 4 : 5);
  const [low, high] = [marks[0], marks[marks.length - 1]];
  const room = { left: 4, right: 52, top: 12, bottom: 26, volume: Math.round(height * 0.16) };
  const floor = height - room.bottom;
  const priceFloor = floor - room.volume - 10;
  const step = (width - room.left - room.right) / all.length;
  const x = (index) => room.left + (index + 0.5) * step;
  const y = (price) => priceFloor - ((price - low) / (high - low)) * (priceFloor - room.top);

  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const right = width - room.right;
  for (const mark of marks) {
    element("line", { class: "grid", x1: room.left, x2: right, y1: y(mark), y2: y(mark) }, svg);
    element("text", { x: right + 8, y: y(mark) + 4 }, svg, mark % 1 ? money(mark) : whole(mark));
  }
  months(all, svg, { x, y: height - 6, width });

  const most = Math.max(...all.map((bar) => bar.v));
  const volumes = all.map((bar, index) => {
    const tall = Math.max(1, (bar.v / most) * room.volume);
    const wide = Math.max(1, step - 2);
    const box = { class: "volume", x: x(index) - wide / 2, y: floor - tall, width: wide, height: tall, rx: 1 };
    return element("rect", box, svg);
  });
  const points = all.map((bar, index) => `${x(index).toFixed(1)},${y(bar.c).toFixed(1)}`);
  const ends = [x(all.length - 1), x(0)].map((end) => `${end.toFixed(1)},${priceFloor}`).join(" ");
  element("polygon", { class: "area", points: `${points.join(" ")} ${ends}` }, svg);
  element("polyline", { class: "price-line", points: points.join(" ") }, svg);
  plot.replaceChildren(svg);
  follow(plot, svg, all, { x, y, step, room, floor, volumes });
}

// A label at the first bar of a month, as many as there is room for.
function months(all, svg, { x, y, width }) {
  const every = width < 480 ? 3 : width < 720 ? 2 : 1;
  let seen = null;
  let count = 0;
  let free = 0;
  all.forEach((bar, index) => {
    const date = new Date(bar.t);
    const month = date.getMonth();
    if (month === seen) return;
    seen = month;
    if (count++ % every || x(index) < free) return;
    const name = date.toLocaleDateString("en", month === 0 ? { month: "short", year: "numeric" } : { month: "short" });
    element("text", { x: x(index), y, "text-anchor": index ? "middle" : "start" }, svg, name);
    free = x(index) + (month === 0 ? 76 : 40);
  });
}

// The bar under the pointer, or the one that the arrow keys chose.
function follow(plot, svg, all, { x, y, step, room, floor, volumes }) {
  const cross = element("line", { class: "cross", y1: room.top, y2: floor, visibility: "hidden" }, svg);
  const dot = element("circle", { class: "dot", r: 5, visibility: "hidden" }, svg);
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  plot.append(tip);
  let chosen = null;
  const choose = (index) => {
    volumes[chosen]?.classList.remove("near");
    chosen = index;
    const bar = all[index];
    tip.hidden = !bar;
    for (const mark of [cross, dot]) mark.setAttribute("visibility", bar ? "visible" : "hidden");
    if (!bar) return;
    volumes[index].classList.add("near");
    cross.setAttribute("x1", x(index));
    cross.setAttribute("x2", x(index));
    dot.setAttribute("cx", x(index));
    dot.setAttribute("cy", y(bar.c));
    const lines = [`Week of ${day(bar.t)}`, `${money(bar.l)} to ${money(bar.h)}`, `${short(bar.v)} shares`];
    const price = document.createElement("b");
    price.textContent = money(bar.c);
    tip.replaceChildren(price, ...lines.map((line) => {
      const row = document.createElement("span");
      row.textContent = line;
      return row;
    }));
    const beside = x(index) + 14 + tip.offsetWidth > plot.clientWidth ? -tip.offsetWidth - 14 : 14;
    tip.style.transform = `translate(${Math.max(0, x(index) + beside)}px, ${room.top}px)`;
  };
  plot.onpointermove = (event) => {
    const index = Math.floor((event.clientX - plot.getBoundingClientRect().left - room.left) / step);
    choose(Math.min(all.length - 1, Math.max(0, index)));
  };
  plot.onpointerleave = () => choose(null);
  plot.onblur = () => choose(null);
  plot.onkeydown = (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    choose(Math.min(all.length - 1, Math.max(0, (chosen ?? all.length - (by > 0 ? 1 : 0)) + by)));
  };
}

function tell(ticker, all, left) {
  const [first, last] = [all[0], all[all.length - 1]];
  const change = last.c / first.o - 1;
  const percent = change.toLocaleString("en", { style: "percent", minimumFractionDigits: 1, signDisplay: "always" });
  at("price").textContent = money(last.c);
  at("change").textContent = `${change < 0 ? "▼" : "▲"} ${percent} since ${day(first.t)}`;
  at("change").className = `change ${change < 0 ? "down" : "up"}`;
  at("title").textContent = `${ticker}: weekly close, and shares traded below`;
  at("plot").setAttribute("aria-label", `${ticker}, ${all.length} weeks, last close ${money(last.c)}, ${percent}`);
  at("rows").replaceChildren(...[...all].reverse().map((bar) => {
    const row = document.createElement("tr");
    for (const text of [day(bar.t), money(bar.o), money(bar.h), money(bar.l), money(bar.c), whole(bar.v)]) {
      row.insertCell().textContent = text;
    }
    return row;
  }));
  at("numbers").hidden = false;
  const calls = left === null ? "" : ` ${whole(Number(left))} calls are left in this window.`;
  at("foot").textContent = `Read through ${GATE} with no key: pages of ${location.origin} are listed there.${calls}`;
}

function refuse(fault) {
  const told = fault instanceof Told ? fault : new Told("No prices this time", "The answer could not be read.");
  const title = document.createElement("h2");
  title.textContent = told.title;
  const text = document.createElement("p");
  text.textContent = told.text;
  const again = document.createElement("button");
  again.textContent = "Try again";
  again.onclick = show;
  const parts = [title, text];
  if (told.settings) {
    const settings = document.createElement("pre");
    settings.textContent = told.settings;
    parts.push(settings);
  }
  at("note").replaceChildren(...parts, again);
  for (const id of ["price", "change", "foot", "title"]) at(id).textContent = "";
  at("numbers").hidden = true;
}

let shown = null;

async function show() {
  const figure = at("figure");
  const ticker = at("ticker").value.trim().toUpperCase();
  figure.ariaBusy = "true";
  try {
    const { all, left } = await bars(ticker);
    shown = all;
    at("note").replaceChildren();
    figure.dataset.state = "drawn";
    draw(all);
    tell(ticker, all, left);
  } catch (fault) {
    shown = null;
    figure.dataset.state = "refused";
    refuse(fault);
  }
  figure.ariaBusy = "false";
}

at("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  show();
});
new ResizeObserver(() => shown && draw(shown)).observe(at("figure"));
show();
