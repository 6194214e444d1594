// Segments that the reader picks, held against each other.

const versus = JSON.parse(byId("differences-data").textContent);
const FEWEST = 2;
const MOST = 5;
const SHOWN = 8; // differences of a part
const PARTS = { category: "Categories", item: "Titles", word: "Words", habit: "Habits", trait: "Traits" };
const [LEAST, FARTHEST, SMALL] = [-0.5, 3, 0.2]; // of the axis, and the size from which a difference matters
const ODDS = Math.PI / Math.sqrt(3);

const onAxis = (d) => `${(100 * (clamp(d, LEAST, FARTHEST) - LEAST)) / (FARTHEST - LEAST)}%`;
const percents = (share) => `${(100 * share).toFixed(share >= 0.0995 || !share ? 0 : share >= 0.00095 ? 1 : 2)}\u202f%`;
const figure = (value) => value.toLocaleString("en", { maximumFractionDigits: Math.abs(value) < 100 ? 2 : 0 });

// The strongest difference of each label among the picked segments; rows come in order, the surest first.
function strongest(picked) {
  const best = new Map();
  for (const row of versus.rows) {
    const [first, second, label] = row;
    if (picked.has(first) && picked.has(second) && !best.has(label)) best.set(label, row);
  }
  return best;
}

function times(odds) {
  return odds > 100 ? "over 100" : odds.toLocaleString("en", { minimumSignificantDigits: 2, maximumSignificantDigits: 2 });
}

function inWords([, , , odds, d, low, high]) {
  const [a, b] = d > 0 ? [low, high] : [-high, -low];
  if (!odds) return `${Math.abs(d).toFixed(1)} deviations more (${a.toFixed(1)} to ${b.toFixed(1)})`;
  const [mean, least, most] = [Math.abs(d), a, b].map((v) => times(Math.exp(v * ODDS)));
  return `${mean} times the odds (${least} to ${most})`;
}

// A segment as its mark, with its name for those who cannot see it or rest on it.
function named(segment) {
  const name = make("span", { class: "unseen" }, segment.name);
  return make("span", { class: "named", title: segment.name }, swatch(segment), name);
}

function effect(row, many) {
  const [first, second, , , d, low, high] = row;
  const [side, other] = (d > 0 ? [first, second] : [second, first]).map((k) => versus.segments[k]);
  const [a, b] = d > 0 ? [low, high] : [-high, -low];
  const line = make("span", { class: "whisker", "aria-hidden": "true", "--colour": `var(${side.colour})` },
    make("i", { class: "zero", left: onAxis(0) }), make("i", { class: "small", left: onAxis(SMALL) }),
    make("i", { class: "span", left: onAxis(a), width: `calc(${onAxis(b)} - ${onAxis(a)})` }),
    make("i", { class: "dot", left: onAxis(Math.abs(d)) }));
  const whom = many ? [named(side), " against ", named(other)] : [named(side)];
  const words = make("span", { class: "words" }, ...whom, ` ${inWords(row)}`);
  return make("div", { class: "effect" }, make("span", { class: "plot" }, line), words);
}

function values(own, picked, share) {
  const known = [...picked].map((k) => own[k]).filter((v) => v !== null);
  const most = Math.max(...known, 1e-9);
  const bars = share || known.every((v) => v >= 0);
  return make("ul", { class: "values" }, ...[...picked].map((k) => {
    const value = own[k];
    const fill = make("i", { class: "fill", width: `${bars && value !== null ? (100 * value) / most : 0}%` });
    const number = value === null ? "–" : share ? percents(value) : figure(value);
    return make("li", { "--colour": `var(${versus.segments[k].colour})` },
      make("span", { class: "unseen" }, `${versus.segments[k].name}: `),
      make("span", { class: "bar", "aria-hidden": "true" }, fill), make("span", { class: "number" }, number));
  }));
}

function difference(label, row, picked) {
  const [, name, own] = versus.labels[label];
  const share = row ? row[3] === 1 : true;
  const item = make("li", {}, make("span", { class: "what" }, name), values(own, picked, share));
  if (row) item.append(effect(row, picked.size > 2));
  return item;
}

// Without pairs: labels whose shares lie farthest apart among the picked segments.
function farApart(picked) {
  const gap = (own) => {
    const known = [...picked].map((k) => own[k]);
    return known.every((v) => v === null) ? -1 : Math.max(...known) - Math.min(...known.map((v) => v ?? 0));
  };
  const order = versus.labels.map((_, k) => k).filter((k) => gap(versus.labels[k][2]) > 0);
  order.sort((a, b) => gap(versus.labels[b][2]) - gap(versus.labels[a][2]));
  return new Map(order.map((k) => [k, null]));
}

function compare() {
  const boxes = [...document.querySelectorAll("#pick input")];
  const picked = new Set(boxes.filter((box) => box.checked).map((box) => Number(box.value)));
  boxes.forEach((box) => (box.disabled = !box.checked && picked.size >= MOST));
  const out = byId("compared");
  if (picked.size < FEWEST) return out.replaceChildren(make("p", { class: "nothing" }, "Pick two to five segments."));
  const rows = versus.rows.length ? strongest(picked) : farApart(picked);
  byId("picked").textContent = `Compared: ${[...picked].map((k) => versus.segments[k].name).join(", ")}.`;
  const sure = ([, row]) => !row || row[7];
  const parts = Object.entries(PARTS).map(([part, title]) => {
    const own = [...rows].filter(([label]) => versus.labels[label][0] === part);
    const told = own.filter(sure).slice(0, SHOWN).map(([label, row]) => difference(label, row, picked));
    const open = own.filter((entry) => !sure(entry)).slice(0, SHOWN).map(([label]) => versus.labels[label][1]);
    if (!own.length) return "";
    const list = make("ul", { class: "differences" }, ...told);
    const unsure = make("p", { class: "open" }, `No difference to count on: ${open.join(", ")}.`);
    return make("section", {}, make("h3", {}, title), list, open.length ? unsure : "");
  });
  out.replaceChildren(...parts);
  if (!rows.size) out.replaceChildren(make("p", { class: "nothing" }, "Nothing was measured that tells these apart."));
}

function comparison() {
  if (!versus) return;
  const boxes = versus.segments.map((segment, k) => {
    const box = make("input", { type: "checkbox", value: String(k) });
    box.checked = k < FEWEST;
    box.addEventListener("change", compare);
    return make("label", {}, box, swatch(segment), segment.name);
  });
  byId("pick").append(...boxes);
  byId("compare-note").hidden = !versus.rows.length;
  byId("shares-note").hidden = versus.rows.length > 0;
  compare();
}
