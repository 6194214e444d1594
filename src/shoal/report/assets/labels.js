// Names on the map.

let labels = [];

// A segment's name stands at the median of its users, which strays less than the mean into somebody else's cloud.
function centres() {
  const members = groups.map(() => [[], []]);
  for (let i = 0; i < users.length; i++) {
    members[groupOf[i]][0].push(xs[i]);
    members[groupOf[i]][1].push(ys[i]);
  }
  return members.map(([x, y]) => (x.length ? [median(x), median(y)] : null));
}

function makeLabels() {
  const at = centres();
  const order = groups.map((_, index) => index).filter((index) => at[index] && !unassigned(index));
  order.sort((a, b) => groups[b].size - groups[a].size);
  labels = order.map((index) => ({ label: make("span", {}, groups[index].name), index, at: at[index] }));
  byId("labels").replaceChildren(...labels.map(({ label }) => label));
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
