// The map's data, and what is shown of it. Texts of the data enter the page as text only, never as markup.

const byId = (id) => document.getElementById(id);
const data = JSON.parse(byId("map-data").textContent);
const unpack = (text, Kind) => new Kind(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
const xs = unpack(data.x, Uint16Array);
const ys = unpack(data.y, Uint16Array);
const strengths = unpack(data.strength, Uint8Array);
const events = unpack(data.events, Uint32Array);
const { users } = data;
const levels = data.levels.map(({ groups, group }) => ({ groups, groupOf: unpack(group, Uint16Array) }));

const NONE = -1;
const UNKNOWN = 255; // a strength that is missing
const NEAR = 12; // how far from a point, in pixels, the pointer still means it
const CLOSEST = 40;
const STEP = 1.6;
const STRETCH = 1.3;

const canvas = byId("canvas");
const tip = byId("tip");
const ring = byId("ring");
const found = byId("found");
const hint = byId("hint");
const frame = canvas.parentElement;

const extent = [xs, ys].map((a) => a.reduce((most, v) => Math.max(most, v), 1));
const middle = extent.map((most) => most / 2);
const view = { x: middle[0], y: middle[1], zoom: 1, width: 1, height: 1 };
const state = { level: 0, shown: NONE, pinned: NONE, user: NONE, hovered: NONE };
let { groups, groupOf } = levels[0];

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

function style(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function channels(name) {
  const pen = document.createElement("canvas").getContext("2d");
  pen.fillStyle = style(name);
  return [1, 3, 5].map((k) => parseInt(pen.fillStyle.slice(k, k + 2), 16));
}

// An element with attributes and children; strings become text.
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") element.className = value;
    else if (name.startsWith("--") || name === "width" || name === "left") element.style.setProperty(name, value);
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

function swatch({ colour, shape }) {
  return make("span", { class: `swatch ${shape}`, "--colour": `var(${colour})`, "aria-hidden": "true" });
}

// Pixels a unit, across and down. A map has no true proportions, so it may be stretched a little to fill its frame.
function scale() {
  const [side, ends] = [Math.min(48, view.width * 0.08), 60]; // buttons stand at the lower end
  const fit = [(view.width - 2 * side) / extent[0], Math.max(60, view.height - 2 * ends) / extent[1]];
  const least = Math.min(...fit);
  return fit.map((f) => view.zoom * Math.min(f, STRETCH * least));
}

function project(x, y) {
  const [across, down] = scale();
  return [(x - view.x) * across + view.width / 2, (y - view.y) * down + view.height / 2];
}
