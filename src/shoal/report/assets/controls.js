// Buttons, legend, level, light and dark.

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

function setLevel(level) {
  if (!levels[level] || level === state.level) return;
  pin(NONE);
  state.level = level;
  ({ groups, groupOf } = levels[level]);
  document.querySelectorAll(".legend").forEach((list) => (list.hidden = Number(list.dataset.level) !== level));
  document.querySelectorAll("[data-to]").forEach((button) => {
    button.setAttribute("aria-pressed", String(Number(button.dataset.to) === level));
  });
  makeLabels();
  recolour();
}

function controls() {
  byId("closer").addEventListener("click", () => zoomBy(STEP));
  byId("farther").addEventListener("click", () => zoomBy(1 / STEP));
  byId("whole").addEventListener("click", reset);
  byId("find").addEventListener("change", (event) => find(event.target.value.trim()));
  byId("look").addEventListener("click", () => find(byId("find").value.trim()));
  document.addEventListener("keydown", (event) => event.key === "Escape" && reset());
  const at = levels.map((level) => new Map(level.groups.map((group, k) => [String(group.segment), k])));
  document.querySelectorAll(".legend a").forEach((link) => {
    const level = Number(link.closest(".legend").dataset.level);
    const index = at[level].get(link.dataset.segment);
    links[level].set(index, link);
    listen(link, index);
  });
  document.querySelectorAll("[data-to]").forEach((button) => {
    button.addEventListener("click", () => setLevel(Number(button.dataset.to)));
  });
  document.querySelectorAll("[data-show]").forEach((link) => {
    const level = Number(link.dataset.level || 0);
    link.addEventListener("click", () => {
      setLevel(level);
      pin(at[level].get(link.dataset.show) ?? NONE);
    });
  });
}

// The page follows the reader's system until the button says otherwise.
function theme() {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const button = byId("theme");
  const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const tell = () => {
    button.textContent = dark() ? "Light" : "Dark";
    button.setAttribute("aria-label", dark() ? "Show the page light" : "Show the page dark");
    recolour();
  };
  button.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    tell();
  });
  system.addEventListener("change", tell);
  tell();
}

function resize() {
  [view.width, view.height] = [frame.clientWidth, frame.clientHeight];
  [canvas.width, canvas.height] = [view.width, view.height].map((v) => Math.max(1, Math.round(v * dots())));
  draw();
}
