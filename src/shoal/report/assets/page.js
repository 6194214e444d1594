// The map of users on a canvas, without a library: 50,000 points are drawn in one pass, and hovering looks at each of
// them, which takes less than a millisecond. Texts of the data enter the page as text only, never as markup.

const byId = (id) => document.getElementById(id);
const data = JSON.parse(byId("map-data").textContent);
const unpack = (text, Kind) => new Kind(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
const xs = unpack(data.x, Uint16Array);
const ys = unpack(data.y, Uint16Array);
const groupOf = unpack(data.group, Uint16Array);
const strengths = unpack(data.strength, Uint8Array);
const events = unpack(data.events, Uint32Array);
const { users, groups } = data;

const NONE = -1;
const UNKNOWN = 255; // a strength that is missing
const NEAR = 12; // how far from a point, in pixels, the pointer still means it
const CLOSEST = 40;
const STEP = 1.6;
const STRETCH = 1.3;

const canvas = byId("canvas");
const context = canvas.getContext("2d");
const tip = byId("tip");
const ring = byId("ring");
const found = byId("found");
const frame = canvas.parentElement;
const links = new Map();

const extent = [xs, ys].map((a) => a.reduce((most, v) => Math.max(most, v), 1));
const middle = extent.map((most) => most / 2);
const view = { x: middle[0], y: middle[1], zoom: 1, width: 1, height: 1 };
const state = { shown: NONE, pinned: NONE, user: NONE, hovered: NONE };
let waiting = false;

// Segments

function unassigned(index) {
  return groups[index].segment < 0;
}

function clamp(value, least, most) {
  return Math.max(least, Math.min(most, value));
}

function median(numbers) {
  numbers.sort((a, b) => a - b);
  return numbers[numbers.length >> 1];
}

// A segment's name stands at the median of its users, which strays less than the mean into somebody else's cloud.
function centres() {
  const members = groups.map(() => [[], []]);
  for (let i = 0; i < users.length; i++) {
    members[groupOf[i]][0].push(xs[i]);
    members[groupOf[i]][1].push(ys[i]);
  }
  return members.map(([x, y]) => (x.length ? [median(x), median(y)] : null));
}

// Drawing

// Pixels a unit, across and down. A map has no true proportions, so it may be stretched a little to fill its frame.
function scale() {
  const room = Math.min(48, view.width * 0.08);
  const fit = [(view.width - 2 * room) / extent[0], (view.height - 2 * room) / extent[1]];
  const least = Math.min(...fit);
  return fit.map((f) => view.zoom * Math.min(f, STRETCH * least));
}

function project(x, y) {
  const [across, down] = scale();
  return [(x - view.x) * across + view.width / 2, (y - view.y) * down + view.height / 2];
}

function dots() {
  return window.devicePixelRatio || 1; // device pixels a pixel
}

function radius() {
  const alone = Math.sqrt((view.width * view.height * 0.028) / Math.max(1, users.length));
  return clamp(alone, 1.1, 4.5) * Math.min(2.2, Math.sqrt(view.zoom));
}

function style(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

// A segment's mark as a square of coverages (0 to 1) with its colour: drawn once, stamped for each of its users.
function makeStamp({ colour, shape }, size) {
  const side = Math.ceil(2 * size) + 1;
  const pen = Object.assign(document.createElement("canvas"), { width: side, height: side }).getContext("2d");
  pen.fillStyle = pen.strokeStyle = style(colour);
  const [red, green, blue] = [1, 3, 5].map((k) => parseInt(pen.fillStyle.slice(k, k + 2), 16));
  pen.translate(side / 2, side / 2);
  pen.lineWidth = size * 0.55;
  pen.beginPath();
  if (shape === "square") pen.rect(-size * 0.85, -size * 0.85, size * 1.7, size * 1.7);
  else pen.arc(0, 0, shape === "ring" ? size - pen.lineWidth / 2 : size, 0, 2 * Math.PI);
  if (shape === "ring") pen.stroke();
  else pen.fill();
  const { data: pixels } = pen.getImageData(0, 0, side, side);
  return { side, red, green, blue, cover: Float32Array.from({ length: side * side }, (_, k) => pixels[4 * k + 3] / 255) };
}

function opacity(i, lit) {
  if (lit !== NONE && groupOf[i] !== lit) return 0.09;
  const strength = strengths[i] === UNKNOWN ? 0.5 : strengths[i] / 100;
  return lit === NONE ? 0.4 + 0.5 * strength : 0.55 + 0.4 * strength;
}

// Pixels are written by hand: 50,000 calls of drawImage take ten times as long where there is no graphics card.
function draw() {
  waiting = false;
  const lit = state.shown !== NONE ? state.shown : state.pinned;
  const picture = context.createImageData(canvas.width, canvas.height);
  const size = radius() * dots();
  const stamps = groups.map((group) => makeStamp(group, size));
  drawPoints(picture, stamps, lit, (i) => groupOf[i] !== lit);
  if (lit !== NONE) drawPoints(picture, stamps, lit, (i) => groupOf[i] === lit);
  context.putImageData(picture, 0, 0);
  placeLabels(lit);
  showTip();
}

function drawPoints(picture, stamps, lit, wanted) {
  const [across, down] = scale().map((k) => k * dots());
  const [left, top] = project(0, 0).map((v) => v * dots());
  for (let i = 0; i < users.length; i++) {
    if (!wanted(i)) continue;
    const stamp = stamps[groupOf[i]];
    const x = Math.round(xs[i] * across + left - stamp.side / 2);
    const y = Math.round(ys[i] * down + top - stamp.side / 2);
    if (x < 0 || y < 0 || x + stamp.side > picture.width || y + stamp.side > picture.height) continue;
    press(picture, stamp, x, y, opacity(i, lit));
  }
}

// Lays a stamp over what is there, which may be transparent.
function press({ data: pixels, width }, { side, cover, red, green, blue }, left, top, alpha) {
  for (let row = 0, k = 0; row < side; row++) {
    for (let column = 0, at = 4 * ((top + row) * width + left); column < side; column++, k++, at += 4) {
      const over = cover[k] * alpha;
      if (over === 0) continue;
      const under = (pixels[at + 3] / 255) * (1 - over);
      const whole = over + under;
      pixels[at] = (red * over + pixels[at] * under) / whole;
      pixels[at + 1] = (green * over + pixels[at + 1] * under) / whole;
      pixels[at + 2] = (blue * over + pixels[at + 2] * under) / whole;
      pixels[at + 3] = 255 * whole;
    }
  }
}

function redraw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(draw);
}

// Names on the map

function makeLabels() {
  const at = centres();
  const order = groups.map((_, index) => index).filter((index) => at[index] && !unassigned(index));
  order.sort((a, b) => groups[b].size - groups[a].size);
  return order.map((index) => {
    const label = document.createElement("span");
    label.textContent = groups[index].name;
    byId("labels").append(label);
    return { label, index, at: at[index] };
  });
}

// The largest segment has its name at its centre; a smaller one steps up or down until its name is clear of the others,
// and is left to the legend where there is no room. The segment that is pointed at always has its name.
function placeLabels(lit) {
  const taken = [];
  const first = (entry) => (entry.index === lit ? 0 : 1);
  for (const { label, index, at } of [...labels].sort((a, b) => first(a) - first(b))) {
    label.hidden = false;
    const [width, height] = [label.offsetWidth, label.offsetHeight];
    const [x, y] = project(...at);
    const left = clamp(x - width / 2, 2, view.width - width - 2);
    const free = (top) => taken.every((t) => left + width < t[0] || left > t[2] || top + height < t[1] || top > t[3]);
    const tops = [0, -0.6, 0.6, -1.2, 1.2, -1.8, 1.8].map((step) => y - height / 2 + step * height);
    const top = tops.map((t) => clamp(t, 2, view.height - height - 2)).find(free);
    const inside = x > 0 && y > 0 && x < view.width && y < view.height;
    label.hidden = !inside || top === undefined;
    if (label.hidden) continue;
    taken.push([left, top, left + width, top + height]);
    label.style.transform = `translate(${left}px, ${top}px)`;
    label.classList.toggle("dim", lit !== NONE && lit !== index);
  }
}

// Pointing

function nearest(px, py) {
  const [across, down] = scale();
  const [left, top] = project(0, 0);
  let [best, least] = [NONE, NEAR ** 2];
  for (let i = 0; i < users.length; i++) {
    const away = (xs[i] * across + left - px) ** 2 + (ys[i] * down + top - py) ** 2;
    if (away < least) [best, least] = [i, away];
  }
  return best;
}

function describe(i) {
  const happened = `${events[i].toLocaleString("en")} ${events[i] === 1 ? "event" : "events"}`;
  const sure = strengths[i] === UNKNOWN || unassigned(groupOf[i]) ? "" : `, strength ${(strengths[i] / 100).toFixed(2)}`;
  return [`User ${users[i]}`, groups[groupOf[i]].name, happened + sure];
}

// The tip is about the user pointed at, else about the one that was searched for.
function showTip() {
  const i = state.hovered !== NONE ? state.hovered : state.user;
  tip.hidden = ring.hidden = i === NONE;
  if (i === NONE) return;
  const [who, where, what] = describe(i);
  const name = document.createElement("b");
  name.textContent = who;
  tip.replaceChildren(name, where, document.createElement("br"), what);
  const [x, y] = project(xs[i], ys[i]);
  ring.style.transform = `translate(${x}px, ${y}px)`;
  const left = clamp(x + 14, 4, view.width - tip.offsetWidth - 4);
  const top = y + 16 + tip.offsetHeight > view.height ? y - tip.offsetHeight - 12 : y + 12;
  tip.style.transform = `translate(${left}px, ${Math.max(4, top)}px)`;
}

function hover(i) {
  if (state.hovered === i) return;
  state.hovered = i;
  canvas.classList.toggle("over", i !== NONE);
  showTip();
}

function show(index) {
  if (state.shown === index) return;
  state.shown = index;
  const lit = index !== NONE ? index : state.pinned;
  links.forEach((link, of) => link.classList.toggle("on", of === lit));
  redraw();
}

function pin(index) {
  state.pinned = index;
  state.shown = NONE;
  links.forEach((link, of) => link.classList.toggle("on", of === index));
  redraw();
}

function listen(element, index) {
  element.addEventListener("pointerenter", () => show(index));
  element.addEventListener("pointerleave", () => show(NONE));
  element.addEventListener("focus", () => show(index));
  element.addEventListener("blur", () => show(NONE));
  element.addEventListener("click", (event) => {
    event.preventDefault();
    openCard(index);
  });
}

function openCard(index) {
  const id = groups[index].anchor;
  const card = byId(id);
  if (!card) return;
  location.hash = id;
  card.scrollIntoView();
  card.focus({ preventScroll: true });
}

// Moving about

function zoomBy(factor, px = view.width / 2, py = view.height / 2) {
  const before = scale();
  view.zoom = clamp(view.zoom * factor, 1, CLOSEST);
  const after = scale();
  view.x += (px - view.width / 2) * (1 / before[0] - 1 / after[0]);
  view.y += (py - view.height / 2) * (1 / before[1] - 1 / after[1]);
  if (view.zoom === 1) [view.x, view.y] = middle;
  canvas.style.touchAction = view.zoom > 1 ? "none" : "pan-y"; // the whole map lets a finger scroll the page
  redraw();
}

function reset() {
  Object.assign(state, { user: NONE, hovered: NONE });
  found.textContent = "";
  pin(NONE);
  zoomBy(0);
}

function find(id) {
  state.user = id ? users.indexOf(id) : NONE;
  if (state.user !== NONE && view.zoom > 1) [view.x, view.y] = [xs[state.user], ys[state.user]];
  const known = state.user !== NONE;
  if (known) state.hovered = NONE;
  found.textContent = known ? `${describe(state.user).join(". ")}.` : id ? `There is no user ${id} on this map.` : "";
  redraw();
}

function pointer() {
  let held = null;
  const where = (event) => [event.offsetX, event.offsetY];
  canvas.addEventListener("pointerdown", (event) => {
    held = { at: where(event), x: view.x, y: view.y, moved: false };
  });
  canvas.addEventListener("pointermove", (event) => {
    const [px, py] = where(event);
    if (!held) return hover(nearest(px, py));
    const [dx, dy] = [px - held.at[0], py - held.at[1]];
    if (!held.moved && Math.hypot(dx, dy) < 5) return;
    if (!held.moved) canvas.setPointerCapture(event.pointerId);
    held.moved = true;
    if (view.zoom === 1) return;
    canvas.classList.add("held");
    hover(NONE);
    const [across, down] = scale();
    [view.x, view.y] = [held.x - dx / across, held.y - dy / down];
    redraw();
  });
  canvas.addEventListener("pointerup", (event) => {
    const tapped = held && !held.moved;
    held = null;
    canvas.classList.remove("held");
    if (!tapped) return;
    const i = nearest(...where(event));
    const first = event.pointerType !== "mouse" && state.hovered !== i; // a first tap shows who it is, a second opens
    hover(i);
    if (i === NONE) pin(NONE);
    else if (!first) openCard(groupOf[i]);
  });
  canvas.addEventListener("pointercancel", () => (held = null));
  canvas.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && hover(NONE));
  canvas.addEventListener("dblclick", (event) => zoomBy(STEP, ...where(event)));
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return; // a plain wheel scrolls the page
    event.preventDefault();
    zoomBy(Math.exp(-event.deltaY / 200), ...where(event));
  }, { passive: false });
}

function controls() {
  byId("closer").addEventListener("click", () => zoomBy(STEP));
  byId("farther").addEventListener("click", () => zoomBy(1 / STEP));
  byId("whole").addEventListener("click", reset);
  byId("find").addEventListener("change", (event) => find(event.target.value.trim()));
  document.addEventListener("keydown", (event) => event.key === "Escape" && reset());
  const index = new Map(groups.map((group, k) => [String(group.segment), k]));
  document.querySelectorAll(".legend a").forEach((link) => {
    links.set(index.get(link.dataset.segment), link);
    listen(link, index.get(link.dataset.segment));
  });
  document.querySelectorAll("[data-show]").forEach((link) => {
    link.addEventListener("click", () => pin(index.get(link.dataset.show)));
  });
}

function resize() {
  [view.width, view.height] = [frame.clientWidth, frame.clientHeight];
  [canvas.width, canvas.height] = [view.width, view.height].map((v) => Math.max(1, Math.round(v * dots())));
  draw();
}

const labels = makeLabels();
pointer();
controls();
new ResizeObserver(resize).observe(frame);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
window.addEventListener("beforeprint", draw);
