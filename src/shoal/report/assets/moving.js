// Moving about on the map: by mouse, fingers and keys.

function zoomBy(factor, px = view.width / 2, py = view.height / 2) {
  const before = scale();
  view.zoom = clamp(view.zoom * factor, 1, CLOSEST);
  const after = scale();
  view.x += (px - view.width / 2) * (1 / before[0] - 1 / after[0]);
  view.y += (py - view.height / 2) * (1 / before[1] - 1 / after[1]);
  if (view.zoom === 1) [view.x, view.y] = middle;
  view.x = clamp(view.x, 0, extent[0]);
  view.y = clamp(view.y, 0, extent[1]);
  canvas.style.touchAction = view.zoom > 1 ? "none" : "pan-y"; // the whole map lets a finger scroll the page
  redraw();
}

function moveBy(dx, dy) {
  if (view.zoom === 1) return;
  const [across, down] = scale();
  view.x = clamp(view.x - dx / across, 0, extent[0]);
  view.y = clamp(view.y - dy / down, 0, extent[1]);
  redraw();
}

function reset() {
  Object.assign(state, { user: NONE, hovered: NONE });
  found.textContent = "";
  pin(NONE);
  zoomBy(0);
}

// One finger or the mouse moves, two fingers zoom; what did not move was a tap.
function pointer() {
  const down = new Map();
  let tap = null;
  const where = (event) => [event.offsetX, event.offsetY];
  const spread = () => {
    const [a, b] = [...down.values()];
    return { apart: Math.max(1, Math.hypot(a[0] - b[0], a[1] - b[1])), x: (a[0] + b[0]) / 2, y: (a[1] + b[1]) / 2 };
  };
  const lift = (event) => {
    down.delete(event.pointerId);
    if (down.size === 0) canvas.classList.remove("held");
  };
  canvas.addEventListener("pointerdown", (event) => {
    down.set(event.pointerId, where(event));
    tap = down.size === 1 ? where(event) : null;
  });
  canvas.addEventListener("pointermove", (event) => {
    const [px, py] = where(event);
    const last = down.get(event.pointerId);
    if (!last) return down.size || hover(nearest(px, py));
    if (down.size === 2) {
      const before = spread();
      down.set(event.pointerId, [px, py]);
      const after = spread();
      zoomBy(after.apart / before.apart, after.x, after.y);
      return moveBy(after.x - before.x, after.y - before.y);
    }
    if (tap && Math.hypot(px - tap[0], py - tap[1]) < 5) return;
    if (tap) canvas.setPointerCapture(event.pointerId);
    tap = null;
    down.set(event.pointerId, [px, py]);
    canvas.classList.toggle("held", view.zoom > 1);
    hover(NONE);
    moveBy(px - last[0], py - last[1]);
  });
  canvas.addEventListener("pointerup", (event) => {
    const tapped = tap !== null && down.has(event.pointerId);
    lift(event);
    tap = null;
    if (!tapped) return;
    const i = nearest(...where(event));
    const first = event.pointerType !== "mouse" && state.hovered !== i; // a first tap shows who it is, a second opens
    hover(i);
    if (i === NONE) pin(NONE);
    else if (!first) openCard(groupOf[i]);
  });
  canvas.addEventListener("pointercancel", lift);
  canvas.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && hover(NONE));
  canvas.addEventListener("dblclick", (event) => zoomBy(STEP, ...where(event)));
}

// A wheel zooms a map that was clicked, or with Ctrl; over any other it scrolls the page, and a hint says how to zoom.
function wheel() {
  let fading = 0;
  canvas.addEventListener("wheel", (event) => {
    const meant = event.ctrlKey || event.metaKey || document.activeElement === canvas;
    if (!meant) {
      hint.hidden = false;
      clearTimeout(fading);
      fading = setTimeout(() => (hint.hidden = true), 1600);
      return;
    }
    if (view.zoom === 1 && event.deltaY > 0 && !event.ctrlKey) return; // nothing to zoom out of: the page scrolls
    event.preventDefault();
    zoomBy(Math.exp(-event.deltaY / 200), event.offsetX, event.offsetY);
  }, { passive: false });
}

function keys() {
  const far = 60;
  const does = {
    ArrowLeft: () => moveBy(far, 0), ArrowRight: () => moveBy(-far, 0),
    ArrowUp: () => moveBy(0, far), ArrowDown: () => moveBy(0, -far),
    "+": () => zoomBy(STEP), "=": () => zoomBy(STEP), "-": () => zoomBy(1 / STEP), 0: reset,
  };
  canvas.addEventListener("keydown", (event) => {
    if (!does[event.key] || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    does[event.key]();
  });
}
