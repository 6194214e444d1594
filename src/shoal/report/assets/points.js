// The points: WebGL where there are many and the browser has it, else pixels by hand. Both draw the same picture.

const MANY = 4000; // points from which on a graphics card is asked for
const SHAPES = ["disc", "ring", "square"];

function dots() {
  return window.devicePixelRatio || 1; // device pixels a pixel
}

function radius() {
  const alone = Math.sqrt((view.width * view.height * 0.028) / Math.max(1, users.length));
  return clamp(alone, 1.1, 4.5) * Math.min(2.2, Math.sqrt(view.zoom));
}

function opacity(i, lit) {
  if (lit !== NONE && groupOf[i] !== lit) return 0.09;
  const strength = strengths[i] === UNKNOWN ? 0.5 : strengths[i] / 100;
  return lit === NONE ? 0.4 + 0.5 * strength : 0.55 + 0.4 * strength;
}

const VERTEX = `
attribute vec2 place; attribute vec3 colour; attribute float group, shape, strength;
uniform vec2 unit, origin, frame; uniform float radius, lit, pass;
varying vec4 ink; varying float form;
void main() {
  bool own = group == lit;
  float alpha = lit < 0.0 ? 0.4 + 0.5 * strength : own ? 0.55 + 0.4 * strength : 0.09;
  vec2 at = (place * unit + origin) / frame * 2.0 - 1.0;
  bool drawn = lit < 0.0 ? pass == 0.0 : own == (pass == 1.0);
  gl_Position = drawn ? vec4(at.x, -at.y, 0.0, 1.0) : vec4(2.0, 2.0, 2.0, 1.0);
  gl_PointSize = 2.0 * radius + 2.0;
  ink = vec4(colour * alpha, alpha);
  form = shape;
}`;
const FRAGMENT = `
precision mediump float;
uniform float size;
varying vec4 ink; varying float form;
void main() {
  vec2 off = (gl_PointCoord - 0.5) * (2.0 * size + 2.0);
  float away = length(off);
  float cover = clamp(size - away + 0.5, 0.0, 1.0);
  if (form > 1.5) cover = clamp(0.85 * size - max(abs(off.x), abs(off.y)) + 0.5, 0.0, 1.0);
  else if (form > 0.5) cover *= clamp(away - 0.45 * size + 0.5, 0.0, 1.0);
  gl_FragColor = ink * cover;
}`;

function program(gl) {
  const made = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(made, shader);
  }
  gl.linkProgram(made);
  return gl.getProgramParameter(made, gl.LINK_STATUS) ? made : null;
}

function cardPainter() {
  const gl = canvas.getContext("webgl", { antialias: false, preserveDrawingBuffer: true });
  let painter = gl && program(gl);
  if (!painter) return null;
  const buffers = {};
  const fill = (name, values, size, kind, normal) => {
    buffers[name] ??= gl.createBuffer();
    gl.bindBuffer(gl.ARRAY_BUFFER, buffers[name]);
    gl.bufferData(gl.ARRAY_BUFFER, values, gl.STATIC_DRAW);
    const at = gl.getAttribLocation(painter, name);
    gl.enableVertexAttribArray(at);
    gl.vertexAttribPointer(at, size, kind, normal, 0, 0);
  };
  const colour = () => {
    const inks = groups.map((group) => [...channels(group.colour), 0]);
    const rgb = new Uint8Array(4 * users.length);
    for (let i = 0; i < users.length; i++) rgb.set(inks[groupOf[i]], 4 * i);
    fill("colour", rgb, 3, gl.UNSIGNED_BYTE, true);
    gl.vertexAttribPointer(gl.getAttribLocation(painter, "colour"), 3, gl.UNSIGNED_BYTE, true, 4, 0);
    fill("group", Float32Array.from(groupOf), 1, gl.FLOAT, false);
    fill("shape", Float32Array.from(groupOf, (g) => SHAPES.indexOf(groups[g].shape)), 1, gl.FLOAT, false);
  };
  const load = () => {
    gl.useProgram(painter);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    const places = new Float32Array(2 * users.length);
    for (let i = 0; i < users.length; i++) places.set([xs[i], ys[i]], 2 * i);
    fill("place", places, 2, gl.FLOAT, false);
    fill("strength", Float32Array.from(strengths, (s) => (s === UNKNOWN ? 0.5 : s / 100)), 1, gl.FLOAT, false);
    colour();
  };
  const paint = (lit) => {
    const set = (name, ...values) => gl[`uniform${values.length}f`](gl.getUniformLocation(painter, name), ...values);
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    set("unit", ...scale().map((k) => k * dots()));
    set("origin", ...project(0, 0).map((v) => v * dots()));
    set("frame", canvas.width, canvas.height);
    set("radius", radius() * dots());
    set("size", radius() * dots());
    set("lit", lit);
    for (const pass of lit === NONE ? [0] : [0, 1]) {
      set("pass", pass);
      gl.drawArrays(gl.POINTS, 0, users.length);
    }
  };
  canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
  canvas.addEventListener("webglcontextrestored", () => {
    Object.keys(buffers).forEach((name) => delete buffers[name]);
    painter = program(gl);
    load();
    redraw();
  });
  load();
  return { kind: "webgl", paint, colour };
}

// Without a graphics card, pixels are written by hand: 50,000 calls of drawImage would take ten times as long.
function handPainter() {
  const context = canvas.getContext("2d");
  const paint = (lit) => {
    const picture = context.createImageData(canvas.width, canvas.height);
    const size = radius() * dots();
    const stamps = groups.map((group) => makeStamp(group, size));
    pressPoints(picture, stamps, lit, (i) => groupOf[i] !== lit);
    if (lit !== NONE) pressPoints(picture, stamps, lit, (i) => groupOf[i] === lit);
    context.putImageData(picture, 0, 0);
  };
  return { kind: "2d", paint, colour: () => {} };
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
  const cover = Float32Array.from({ length: side * side }, (_, k) => pixels[4 * k + 3] / 255);
  return { side, red, green, blue, cover };
}

function pressPoints(picture, stamps, lit, wanted) {
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

const painter = (users.length > MANY && cardPainter()) || handPainter();
canvas.dataset.painter = painter.kind;
let waiting = false;

function draw() {
  waiting = false;
  const lit = state.shown !== NONE ? state.shown : state.pinned;
  painter.paint(lit);
  placeLabels(lit);
  showTip();
}

function redraw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(draw);
}

function recolour() {
  painter.colour();
  redraw();
}
