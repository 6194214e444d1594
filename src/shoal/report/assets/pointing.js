// Pointing at users and segments, and looking users up.

const links = levels.map(() => new Map()); // legend entries, by level and place
const CLOSE = 6; // the zoom at which a user who was looked up is shown

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

function places(i) {
  const all = levels.map((level) => level.groups[level.groupOf[i]]);
  return all.filter((group, k) => k === 0 || group.segment !== all[0].segment);
}

function happened(i) {
  return `${events[i].toLocaleString("en")} ${events[i] === 1 ? "event" : "events"}`;
}

function strength(i) {
  return strengths[i] === UNKNOWN || places(i)[0].segment < 0 ? "" : (strengths[i] / 100).toFixed(2);
}

// The tip is about the user pointed at, else about the one that was searched for.
function showTip() {
  const i = state.hovered !== NONE ? state.hovered : state.user;
  tip.hidden = ring.hidden = i === NONE;
  if (i === NONE) return;
  const lines = places(i).flatMap((group) => [group.name, make("br")]);
  const sure = strength(i) && `, strength ${strength(i)}`;
  tip.replaceChildren(make("b", {}, `User ${users[i]}`), ...lines, happened(i) + sure);
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

function mark(lit) {
  links[state.level].forEach((link, of) => link.classList.toggle("on", of === lit));
  redraw();
}

function show(index) {
  if (state.shown === index) return;
  state.shown = index;
  mark(index !== NONE ? index : state.pinned);
}

function pin(index) {
  state.pinned = index;
  state.shown = NONE;
  mark(index);
}

function openCard(index) {
  const id = groups[index].anchor;
  const card = byId(id);
  if (!card) return;
  for (let fold = card; fold; fold = fold.parentElement.closest("details")) {
    if (fold.tagName === "DETAILS") fold.open = true;
  }
  location.hash = id;
  card.tabIndex = -1;
  card.scrollIntoView();
  card.focus({ preventScroll: true });
}

function find(id) {
  state.user = id ? users.indexOf(id) : NONE;
  const known = state.user !== NONE;
  if (known && view.zoom > 1) [view.x, view.y] = [xs[state.user], ys[state.user]];
  if (known) state.hovered = NONE;
  const nobody = id ? [`There is no user ${id} on this map.${found.dataset.sample}`] : [];
  found.replaceChildren(...(known ? told(state.user) : nobody));
  redraw();
}

// What there is to say of a user: segment, subsegment, strength, events, and the ways to the card and the point.
function told(i) {
  const row = (name, ...what) => make("div", {}, make("dt", {}, name), make("dd", {}, ...what));
  const rows = places(i).map((group, k) => row(k ? "Subsegment" : "Segment", swatch(group), group.name));
  if (strength(i)) rows.push(row("Strength", strength(i)));
  rows.push(row("Events", events[i].toLocaleString("en")));
  const card = make("a", { href: `#${places(i)[0].anchor}` }, "Open the card");
  const closer = make("button", { type: "button", class: "plain" }, "Show closer");
  closer.addEventListener("click", () => {
    view.zoom = Math.max(view.zoom, CLOSE);
    [view.x, view.y] = [xs[i], ys[i]];
    zoomBy(1);
    frame.scrollIntoView({ block: "nearest" });
  });
  return [make("b", {}, `User ${users[i]}`), make("dl", {}, ...rows), card, " ", closer];
}
