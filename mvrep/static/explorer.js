// The explorer: one ES module for the Jupyter widget (anywidget calls `render`) and for the page without a kernel
// (`mount`). Texts from metadata reach the page through textContent and fillText only.
//
//   Points, Grid       what the buffers of a model hold
//   paint              points as pixels
//   Kernel             questions to the model, and the addresses of its clips
//   MapView            the map: view, drawing, pointer and keys
//   Player             video, swapped audio, what is known of the selected video
//   Legend, PointList, NeighbourList
//   render             puts them together around one state, see `View` in explorer.py
//   PageModel, mount   a model that answers from what a page holds

const MODES = { audio: 'Audio', video: 'Video', joint: 'Both' }; // what neighbours are compared by
const HINT = 'Click a point to play its clip.';

// ---- helpers

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const clock = seconds => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, '0')}`;
const joined = (separator, ...texts) => texts.filter(Boolean).join(separator);

function typed(data, Type) { // a typed array over an ArrayBuffer, or over a DataView at any offset
  if (data instanceof ArrayBuffer) return new Type(data);
  const { buffer, byteOffset, byteLength } = data;
  if (byteOffset % Type.BYTES_PER_ELEMENT) return new Type(buffer.slice(byteOffset, byteOffset + byteLength));
  return new Type(buffer, byteOffset, byteLength / Type.BYTES_PER_ELEMENT);
}

function make(tag, properties = {}, ...children) { // an element; names with a hyphen are attributes
  const element = document.createElement(tag);
  element.setAttribute('data-lm-suppress-shortcuts', 'true'); // JupyterLab: keys pressed here are not commands
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes('-') || name === 'role') element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children);
  return element;
}

const makeButton = (text, properties) => make('button', { type: 'button', textContent: text, ...properties });

function isDark(element) { // the nearest painted background decides; a page without one follows the system
  for (let e = element; e; e = e.parentElement) {
    const color = getComputedStyle(e).backgroundColor.match(/[\d.]+/g)?.map(Number);
    if (!color || (color.length === 4 && color[3] <= .5)) continue;
    return .2126 * color[0] + .7152 * color[1] + .0722 * color[2] < 128;
  }
  return matchMedia('(prefers-color-scheme: dark)').matches;
}

function isInside(polygon, x, y) { // even-odd rule, as `_is_inside` in explorer.py
  let inside = false;
  for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i++) {
    const [ax, ay] = polygon[i], [bx, by] = polygon[j];
    if ((ay > y) !== (by > y) && x < (bx - ax) * (y - ay) / (by - ay) + ax) inside = !inside;
  }
  return inside;
}

// ---- points

class Grid { // points in cells, so that the nearest one is found without looking at all of them
  constructor(xy, n, [x0, x1, y0, y1]) {
    this.xy = xy;
    this.size = clamp(Math.floor(Math.sqrt(n / 3)), 1, 512); // cells per side
    this.origin = [x0, y0];
    this.step = [(x1 - x0) / this.size || 1, (y1 - y0) / this.size || 1];
    this.first = new Uint32Array(this.size ** 2 + 1); // where in `order` the points of a cell begin
    this.order = new Uint32Array(n); // points by cell
    const cells = new Uint32Array(n);
    for (let i = 0; i < n; i++) {
      cells[i] = this.cell(xy[2*i], 0) * this.size + this.cell(xy[2*i+1], 1);
      this.first[cells[i] + 1]++;
    }
    for (let k = 0; k < this.size ** 2; k++) this.first[k+1] += this.first[k];
    const next = this.first.slice();
    for (let i = 0; i < n; i++) this.order[next[cells[i]]++] = i;
  }

  cell(value, axis) { return clamp(Math.floor((value - this.origin[axis]) / this.step[axis]), 0, this.size - 1); }

  nearest(x, y, radius, allowed) { // the nearest allowed point within a radius, or -1
    let best = -1, least = radius ** 2;
    for (let column = this.cell(x - radius, 0); column <= this.cell(x + radius, 0); column++) {
      const from = this.first[column * this.size + this.cell(y - radius, 1)];
      const to = this.first[column * this.size + this.cell(y + radius, 1) + 1];
      for (let k = from; k < to; k++) {
        const i = this.order[k], squared = (this.xy[2*i] - x) ** 2 + (this.xy[2*i+1] - y) ** 2;
        if (allowed[i] && squared <= least) { least = squared; best = i; }
      }
    }
    return best;
  }
}

class Points { // what the buffers of a model hold, see `pack_points` in packing.py
  constructor(model) {
    const text = model.get('text');
    this.info = model.get('info');
    this.n = this.info.n;
    this.xy = typed(model.get('xy'), Float32Array);
    this.codes = typed(model.get('codes'), Uint8Array);
    this.lines = (typeof text === 'string' ? text : new TextDecoder().decode(typed(text, Uint8Array))).split('\n');
    this.lowerLines = null; // made at the first search
    this.rows = new Map(); // row of a point by its id
    for (let i = 0; i < this.n; i++) this.rows.set(this.lines[i].slice(0, this.lines[i].indexOf('\t')), i);
    this.box = this.bounds();
    this.grid = new Grid(this.xy, this.n, this.box);
  }

  bounds() {
    if (!this.n) return [0, 1, 0, 1];
    let [x0, x1, y0, y1] = [Infinity, -Infinity, Infinity, -Infinity];
    for (let i = 0; i < this.n; i++) {
      const x = this.xy[2*i], y = this.xy[2*i+1];
      if (x < x0) x0 = x;
      if (x > x1) x1 = x;
      if (y < y0) y0 = y;
      if (y > y1) y1 = y;
    }
    return [x0, x1, y0, y1];
  }

  row(id) { return this.rows.get(id) ?? -1; }

  item(i) {
    const [id, video, title, artist, about] = this.lines[i].split('\t');
    return { id, video, title, artist, about };
  }

  describe(i) { const { artist, about } = this.item(i); return joined(' · ', artist, about); }

  column(name) { return this.info.columns.find(o => o.name === name) || this.info.columns[0]; }

  columnCodes(column) { // the colour of each point
    const k = this.info.columns.indexOf(column);
    return this.codes.subarray(k * this.n, (k + 1) * this.n);
  }

  matcher(text) { // does the line of a point have all words of a search?
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    if (!words.length) return () => true;
    this.lowerLines ||= this.lines.map(o => o.toLowerCase());
    return i => words.every(word => this.lowerLines[i].includes(word));
  }
}

// ---- drawing: discs written into the pixels, which is fast without a graphics card and the same everywhere

function disc(radius) { // dx, dy and alpha of each pixel of a disc
  const R = Math.ceil(radius), out = [];
  for (let y = -R; y <= R; y++) for (let x = -R; x <= R; x++) {
    const alpha = clamp(radius + .5 - Math.hypot(x, y), 0, 1);
    if (alpha > .04) out.push(x, y, Math.round(255 * alpha));
  }
  return Int16Array.from(out);
}

function toPixel(hex) { // '#rrggbb' as the lower three bytes of a pixel
  const [r, g, b] = [1, 3, 5].map(k => parseInt(hex.slice(k, k + 2), 16));
  return (b << 16 | g << 8 | r) >>> 0;
}

function blend(old, color, alpha) { // the edge of a disc over another point
  const mix = shift => {
    const below = old >>> shift & 255, above = color >>> shift & 255;
    return below + ((above - below) * alpha >> 8) << shift;
  };
  return (Math.max(alpha, old >>> 24) << 24 | mix(16) | mix(8) | mix(0)) >>> 0;
}

function paint(image, points, view, coloring, mask, faint, radius) { // first the points that are filtered out
  const { width: W, height: H } = image, pixels = new Uint32Array(image.data.buffer), { xy, n } = points;
  const discs = [disc(Math.max(.8, radius * .6)), disc(radius)];
  const colors = coloring.colors.map(toPixel), faintColor = toPixel(faint), { codes } = coloring;
  pixels.fill(0);
  for (const pass of [0, 1]) for (let i = 0; i < n; i++) {
    if (mask[i] !== pass) continue;
    const X = Math.round(view.x + view.scale * xy[2*i]), Y = Math.round(view.y - view.scale * xy[2*i+1]);
    if (X < -9 || Y < -9 || X > W + 9 || Y > H + 9) continue;
    const color = pass ? colors[codes[i]] : faintColor, shape = discs[pass];
    for (let k = 0; k < shape.length; k += 3) {
      const x = X + shape[k], y = Y + shape[k+1];
      if (x < 0 || y < 0 || x >= W || y >= H) continue;
      const p = y * W + x, alpha = shape[k+2], old = pixels[p];
      pixels[p] = alpha === 255 || !old ? (alpha << 24 | color) >>> 0 : blend(old, color, alpha);
    }
  }
}

// ---- questions to the model

class Kernel { // asks by messages; a clip keeps its address, so that it is loaded once
  constructor(model) {
    this.model = model;
    this.asked = 0;
    this.waiting = new Map(); // what to do with the answer, by its key
    this.urls = new Map(); // address of each clip, the latest last
    this.onMessage = (message, buffers) => this.receive(message, buffers);
    model.on('msg:custom', this.onMessage);
  }

  ask(kind, content) {
    return new Promise((resolve, reject) => {
      const key = ++this.asked;
      this.waiting.set(key, { resolve, reject });
      this.model.send({ kind, key, ...content });
    });
  }

  receive(message, buffers) {
    const waiting = message?.kind === 'answer' && this.waiting.get(message.key);
    if (!waiting) return;
    this.waiting.delete(message.key);
    if (message.error) return waiting.reject(new Error(message.error));
    if (buffers?.length) message.url = this.address(message.file, buffers[0]);
    waiting.resolve(message);
  }

  address(file, data, most = 24) {
    const url = this.urls.get(file) ?? URL.createObjectURL(new Blob([data], { type: 'video/mp4' }));
    this.urls.delete(file);
    this.urls.set(file, url);
    for (const [oldest, old] of this.urls) {
      if (this.urls.size <= most) break;
      URL.revokeObjectURL(old);
      this.urls.delete(oldest);
    }
    return url;
  }

  close() {
    this.model.off?.('msg:custom', this.onMessage);
    for (const url of this.urls.values()) URL.revokeObjectURL(url);
  }
}

// ---- the map

const THEMES = {
  light: { ink: '#1c1b22', paper: '#f8f7fa', faint: '#d5d3dd' },
  dark: { ink: '#ececf1', paper: '#17161d', faint: '#3a3844' },
};
const MAP_LABEL = 'Map of videos. Arrow keys go from point to point, Enter plays, L draws a lasso around a point and '
  + 'again a wider one, Escape goes back, plus and minus zoom. All points are also in the list below the map.';
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

class MapView {
  constructor({ onChoose, onLasso, onSay }) {
    Object.assign(this, { onChoose, onLasso, onSay });
    this.points = null;
    this.coloring = null; // colours and codes of the points
    this.mask = null; // 1 for points that are shown
    this.shown = []; // rows of the points that are shown
    this.selected = -1;
    this.neighbours = []; // rows
    this.lasso = null; // corners in units of the map
    this.view = null; // pixel of a point: x + scale * its x, y - scale * its y
    this.width = this.height = 0; // pixels of the canvas
    this.ratio = 1; // pixels of the canvas per pixel of the page
    this.hover = -1; // row under the pointer or the keys
    this.draft = null; // lasso that is being drawn
    this.drag = null; // where the pointer went down
    this.isLassoing = false;
    this.circle = { row: -1, radius: 0 }; // the last lasso that was drawn by key
    this.theme = THEMES.light;
    this.image = null; // pixels of the points
    this.drawMs = 0;
    this.build();
    this.listen();
  }

  build() {
    this.base = make('canvas', { 'aria-hidden': 'true' });
    this.top = make('canvas', {
      tabIndex: 0, role: 'application', 'aria-roledescription': 'map of videos', 'aria-label': MAP_LABEL });
    this.tip = make('div', { className: 'mvx-tip', hidden: true });
    const buttons = [['+', 'Zoom in', () => this.zoom(1.5)], ['−', 'Zoom out', () => this.zoom(1 / 1.5)],
      ['⤢', 'Whole map', () => this.fit()]];
    const zoom = ([text, label, onclick]) => makeButton(text, { title: label, 'aria-label': label, onclick });
    this.element = make('div', { className: 'mvx-map' },
      this.base, this.top, this.tip, make('div', { className: 'mvx-zoom' }, ...buttons.map(zoom)));
    this.lassoButton = makeButton('Lasso', {
      title: 'Draw around points (or hold Shift and drag)', 'aria-pressed': 'false',
      onclick: () => this.setLassoing(!this.isLassoing) });
    this.baseContext = this.base.getContext('2d');
    this.context = this.top.getContext('2d');
  }

  setPoints(points) {
    Object.assign(this, { points, selected: -1, neighbours: [], lasso: null });
    Object.assign(this, { view: null, image: null, width: 0, height: 0 });
    this.mask = new Uint8Array(points.n).fill(1);
    this.point(-1);
  }

  setTheme(theme) { this.theme = theme; this.redraw(); }

  setLassoing(on) { this.isLassoing = on; this.lassoButton.setAttribute('aria-pressed', String(on)); }

  // -- view

  resize() {
    const box = this.element.getBoundingClientRect();
    if (box.width < 2 || box.height < 2) return;
    const ratio = Math.min(globalThis.devicePixelRatio || 1, this.points.n > 30000 ? 1 : 2);
    const width = Math.round(box.width * ratio), height = Math.round(box.height * ratio);
    if (width === this.width && height === this.height) return;
    const moved = [(width - this.width) / 2, (height - this.height) / 2], isFirst = !this.width || !this.view;
    Object.assign(this, { ratio, width, height });
    for (const canvas of [this.base, this.top]) Object.assign(canvas, { width, height });
    this.image = this.baseContext.createImageData(width, height);
    if (isFirst) return this.fit();
    this.view.x += moved[0];
    this.view.y += moved[1];
    this.redraw();
  }

  fit() {
    const [x0, x1, y0, y1] = this.points.box, margin = 2 * (this.points.n < 60 ? 60 : 26) * this.ratio;
    const scale = Math.min((this.width - margin) / (x1 - x0 || 1), (this.height - margin) / (y1 - y0 || 1));
    const x = this.width / 2 - scale * (x0 + x1) / 2, y = this.height / 2 + scale * (y0 + y1) / 2;
    this.view = { scale, whole: scale, x, y };
    this.redraw();
  }

  zoom(factor, x = this.width / 2, y = this.height / 2) { // about a pixel
    const { view } = this, k = clamp(view.scale * factor, view.whole / 4, view.whole * 400) / view.scale;
    Object.assign(view, { scale: view.scale * k, x: x - (x - view.x) * k, y: y - (y - view.y) * k });
    this.redraw();
  }

  toPage(x, y) { // pixel of the page, from the corner of the map
    return [(this.view.x + this.view.scale * x) / this.ratio, (this.view.y - this.view.scale * y) / this.ratio];
  }

  positionOf(i) { return this.toPage(this.points.xy[2*i], this.points.xy[2*i+1]); }

  isInView([x, y]) { return x > 0 && y > 0 && x < this.width / this.ratio && y < this.height / this.ratio; }

  get radius() { // of a point, pixels of the canvas
    const base = clamp(13 * Math.max(1, this.points.n) ** -.22, 1, 7);
    return base * clamp((this.view.scale / this.view.whole) ** .35, .8, 2.4) * this.ratio;
  }

  // -- drawing

  redraw() { // everything, in the next frame
    if (this.image) this.frame ||= requestAnimationFrame(() => { this.draw(); this.drawOverlay(); });
  }

  refresh() { // what is drawn over the points, in the next frame
    if (!this.image || this.frame) return;
    this.overlayFrame ||= requestAnimationFrame(() => { this.overlayFrame = 0; this.drawOverlay(); });
  }

  draw() {
    this.frame = 0;
    const start = performance.now();
    paint(this.image, this.points, this.view, this.coloring, this.mask, this.theme.faint, this.radius);
    this.baseContext.putImageData(this.image, 0, 0);
    this.drawMs = performance.now() - start;
    this.onDrawn?.();
  }

  drawOverlay() {
    const { context, ratio, theme } = this, radius = this.radius / ratio;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.strokeStyle = theme.ink;
    if (this.selected >= 0) this.drawSelected(radius);
    if (this.hover >= 0) this.drawRing(this.hover, radius + 2.5, 1.75);
    const polygon = this.draft || this.lasso;
    if (polygon?.length > 1) this.drawLasso(polygon);
    this.drawNames(radius);
  }

  drawSelected(radius) { // with lines to its neighbours
    const { context } = this;
    context.globalAlpha = .35;
    context.lineWidth = 1.25;
    for (const i of this.neighbours) {
      context.beginPath();
      context.moveTo(...this.positionOf(this.selected));
      context.lineTo(...this.positionOf(i));
      context.stroke();
    }
    context.globalAlpha = 1;
    for (const i of this.neighbours) this.drawRing(i, radius + 2, 1.25);
    this.drawRing(this.selected, radius + 3.5, 3);
  }

  drawRing(i, radius, width) {
    this.context.lineWidth = width;
    this.context.beginPath();
    this.context.arc(...this.positionOf(i), radius, 0, 2 * Math.PI);
    this.context.stroke();
  }

  drawLasso(polygon) {
    const { context } = this;
    context.beginPath();
    for (const corner of polygon) context.lineTo(...this.toPage(...corner));
    context.closePath();
    context.lineWidth = 1.5;
    context.setLineDash([5, 4]);
    context.stroke();
    context.setLineDash([]);
    context.globalAlpha = .07;
    context.fillStyle = this.theme.ink;
    context.fill();
    context.globalAlpha = 1;
  }

  drawNames(radius, most = 40) { // of the points in view, if they are few, where there is room
    const inView = [];
    for (const i of this.shown) {
      if (this.isInView(this.positionOf(i))) inView.push(i);
      if (inView.length > most) return;
    }
    Object.assign(this.context, { font: '12px system-ui, sans-serif', textBaseline: 'middle', lineJoin: 'round' });
    const taken = [];
    for (const i of inView) this.drawName(i, radius + 5, taken);
  }

  drawName(i, distance, taken) {
    const { context, theme } = this, [x, y] = this.positionOf(i), title = this.points.item(i).title.slice(0, 28);
    const width = context.measureText(title).width, isTooFarRight = x + distance + width > this.width / this.ratio;
    const box = { left: isTooFarRight ? x - distance - width : x + distance, top: y - 8, width, height: 16 };
    const overlaps = o => box.left < o.left + o.width && o.left < box.left + box.width
      && box.top < o.top + o.height && o.top < box.top + box.height;
    if (taken.some(overlaps)) return;
    taken.push(box);
    context.lineWidth = 3;
    context.strokeStyle = theme.paper;
    context.strokeText(title, box.left, y);
    context.fillStyle = theme.ink;
    context.fillText(title, box.left, y);
  }

  // -- pointer

  listen() {
    const { top } = this;
    top.addEventListener('pointerdown', e => this.onDown(e));
    top.addEventListener('pointermove', e => this.onMove(e));
    top.addEventListener('pointerup', e => this.onUp(e));
    top.addEventListener('pointercancel', e => this.onUp(e));
    top.addEventListener('pointerleave', () => { if (!this.drag) this.point(-1); });
    top.addEventListener('wheel', e => this.onWheel(e), { passive: false });
    top.addEventListener('keydown', e => this.onKey(e));
  }

  pixelOf(event) {
    const box = this.top.getBoundingClientRect();
    return [(event.clientX - box.left) * this.width / box.width, (event.clientY - box.top) * this.height / box.height];
  }

  toMap([x, y]) { return [(x - this.view.x) / this.view.scale, (this.view.y - y) / this.view.scale]; }

  pick(pixel) { // the point at a pixel, or -1
    const radius = Math.max(10 * this.ratio, this.radius + 3) / this.view.scale;
    return this.points.grid.nearest(...this.toMap(pixel), radius, this.mask);
  }

  point(i) { // the point under the pointer or the keys
    if (i === this.hover) return;
    this.hover = i;
    this.tip.hidden = i < 0;
    if (i >= 0) this.showTip(i);
    this.refresh();
  }

  showTip(i) {
    const [x, y] = this.positionOf(i), box = this.element.getBoundingClientRect();
    this.tip.replaceChildren(this.points.item(i).title, make('span', { textContent: this.points.describe(i) }));
    const { offsetWidth: width, offsetHeight: height } = this.tip;
    const left = clamp(x + 14, 4, Math.max(4, box.width - width - 4));
    const above = Math.max(4, y - 14 - height), below = y + 14;
    this.tip.style.transform = `translate(${left}px, ${below + height > box.height ? above : below}px)`;
  }

  onDown(event) {
    if (event.button) return;
    const pixel = this.pixelOf(event);
    this.top.setPointerCapture(event.pointerId);
    this.drag = { pixel, x: this.view.x, y: this.view.y, hasMoved: false };
    if (this.isLassoing || event.shiftKey) this.draft = [this.toMap(pixel)];
  }

  onMove(event) {
    const pixel = this.pixelOf(event), { drag } = this;
    if (!drag) return this.point(this.pick(pixel));
    const [dx, dy] = [pixel[0] - drag.pixel[0], pixel[1] - drag.pixel[1]];
    if (Math.hypot(dx, dy) > 4 * this.ratio) drag.hasMoved = true;
    if (!drag.hasMoved) return;
    this.point(-1);
    if (this.draft) this.extendDraft(this.toMap(pixel));
    else {
      Object.assign(this.view, { x: drag.x + dx, y: drag.y + dy });
      this.redraw();
    }
  }

  extendDraft(corner, most = 400) {
    const last = this.draft.at(-1), pixels = Math.hypot(corner[0] - last[0], corner[1] - last[1]) * this.view.scale;
    if (pixels > 3 * this.ratio && this.draft.length < most) this.draft.push(corner);
    this.refresh();
  }

  onUp(event) {
    if (!this.drag) return;
    const { drag, draft } = this;
    this.drag = this.draft = null;
    if (draft?.length > 2 && drag.hasMoved) {
      this.setLassoing(false);
      this.onLasso(draft.map(corner => corner.map(o => +o.toFixed(4))));
    } else if (!drag.hasMoved && event.type === 'pointerup') {
      const i = this.pick(this.pixelOf(event));
      if (i >= 0) this.onChoose(i);
    }
    this.refresh();
  }

  onWheel(event) {
    event.preventDefault();
    event.stopPropagation();
    this.zoom(Math.exp(-clamp(event.deltaY, -200, 200) * .0022), ...this.pixelOf(event));
    this.point(-1);
  }

  // -- keys

  get current() { return this.hover >= 0 ? this.hover : this.selected; }

  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { key } = event;
    if (ARROWS[key]) this.step(...ARROWS[key]);
    else if (key === 'Enter' || key === ' ') { if (this.current >= 0) this.onChoose(this.current); }
    else if (key === '+' || key === '=') this.zoom(1.5);
    else if (key === '-') this.zoom(1 / 1.5);
    else if (key === '0') this.fit();
    else if (key === 'l' || key === 'L') this.encircle();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  step(dx, dy) { // to the nearest point in a direction; distance aside counts twice
    const from = this.current, { xy } = this.points;
    let best = from < 0 ? this.shown[0] ?? -1 : -1, least = Infinity;
    for (const i of from < 0 ? [] : this.shown) {
      const x = xy[2*i] - xy[2*from], y = xy[2*i+1] - xy[2*from+1];
      const ahead = x * dx + y * dy, aside = Math.abs(x * dy - y * dx);
      if (ahead > 0 && ahead >= aside * .5 && ahead + 2 * aside < least) { least = ahead + 2 * aside; best = i; }
    }
    if (best < 0) return;
    this.point(best);
    this.bringIntoView(best);
    this.onSay(joined(', ', this.points.item(best).title, this.points.describe(best)));
  }

  bringIntoView(i) {
    const position = this.positionOf(i);
    if (this.isInView(position)) return;
    this.view.x += this.width / 2 - position[0] * this.ratio;
    this.view.y += this.height / 2 - position[1] * this.ratio;
    this.redraw();
  }

  encircle() { // a lasso around the current point, and a wider one at each press
    const i = this.current;
    if (i < 0) return;
    const isAgain = this.lasso && this.circle.row === i;
    const radius = isAgain ? this.circle.radius * 1.5 : 40 * this.ratio / this.view.scale;
    const [x, y] = [this.points.xy[2*i], this.points.xy[2*i+1]];
    const angles = Array.from({ length: 24 }, (_, k) => k * Math.PI / 12);
    this.circle = { row: i, radius };
    this.onLasso(angles.map(a => [x + radius * Math.cos(a), y + radius * Math.sin(a)]));
  }

  close() { cancelAnimationFrame(this.frame); cancelAnimationFrame(this.overlayFrame); }
}

// ---- the player

const VIDEO_EVENTS = [
  'play', 'playing', 'pause', 'seeked', 'ratechange', 'volumechange', 'timeupdate', 'ended', 'waiting'];

function canPlay(media) { // settles when a clip can be played, or cannot
  const settled = new AbortController(), once = { signal: settled.signal };
  const outcome = new Promise((resolve, reject) => {
    if (media.readyState > 0) resolve();
    media.addEventListener('loadedmetadata', resolve, once);
    media.addEventListener('error', () => reject(new Error('this browser cannot play the clip')), once);
  });
  return outcome.finally(() => settled.abort());
}

class Player { // a video, and the audio of another one that may play with it
  constructor({ kernel, onSay, onSwap, onPlaying }) {
    Object.assign(this, { kernel, onSay, onSwap, onPlaying });
    this.swapped = null; // the swap that plays, with the offsets of both clips
    this.turn = 0; // answers to an earlier click are dropped
    this.calmUntil = 0; // when the audio may be sought again
    this.isClosed = false;
    this.video = make('video', { controls: true, playsInline: true, preload: 'auto', 'aria-label': 'Player' });
    this.audio = make('audio', { preload: 'auto' });
    this.title = make('h2');
    this.about = make('p', { className: 'mvx-soft' });
    this.swapBox = make('div', { className: 'mvx-swap', hidden: true, role: 'group', 'aria-label': 'Replaced audio' });
    this.element = make('div', { className: 'mvx-player' },
      this.video, this.audio, make('div', {}, this.title, this.about), this.swapBox);
    for (const name of VIDEO_EVENTS) this.video.addEventListener(name, () => this.follow());
    this.beat = setInterval(() => this.follow(), 100);
    this.describe(null);
  }

  describe(item) { // whose video it is
    this.title.textContent = item?.title ?? 'Choose a point';
    this.about.textContent = item ? joined(' · ', item.artist, item.about) : HINT;
    this.video.setAttribute('aria-label', item ? `Player: ${item.title}` : 'Player');
  }

  async load(media, id, moment) { // the clip that shows a moment, the point's own if null
    const clip = await this.kernel.ask('clip', { id, moment });
    if (media.dataset.url !== clip.url || media.error) {
      media.src = clip.url;
      media.dataset.url = clip.url;
    }
    await canPlay(media);
    return clip;
  }

  start(media) {
    return media.play().catch(e => {
      if (e.name === 'NotAllowedError') this.onSay('Press play: this browser starts audio only after a click');
    });
  }

  isCurrent(turn) { return turn === this.turn && !this.isClosed; }

  async play(item) {
    const turn = ++this.turn;
    this.endSwap();
    this.video.pause();
    this.describe(item);
    this.onPlaying('');
    this.onSay(`Loading ${item.title}`);
    try {
      const clip = await this.load(this.video, item.id, null);
      if (!this.isCurrent(turn)) return;
      this.video.currentTime = clip.offset;
      this.onPlaying(item.id);
      this.onSay(`Playing ${item.title}${item.artist ? ` by ${item.artist}` : ''}`);
      await this.start(this.video);
    } catch (e) { if (turn === this.turn) this.fail(item, e); }
  }

  fail(item, error) {
    this.unload(this.video);
    this.onSay(`${item.title}: ${error.message}`);
  }

  async playSwapped(item, other, swap, row) { // `row`: the other one among the neighbours, if it is there
    const turn = ++this.turn;
    this.describe(item);
    this.onSay(`Loading the audio of ${other.title}`);
    try {
      const [videoClip, audioClip] = await Promise.all([
        this.load(this.video, item.id, swap.video_start), this.load(this.audio, other.id, swap.audio_start)]);
      if (!this.isCurrent(turn)) return;
      this.swapped = { ...swap, videoOffset: videoClip.offset, audioOffset: audioClip.offset };
      Object.assign(this.video, { muted: true, currentTime: videoClip.offset });
      Object.assign(this.audio, { muted: false, currentTime: audioClip.offset, volume: this.video.volume });
      this.onPlaying(item.id);
      this.showSwap(item, other, swap, row);
      this.onSay(`Playing ${item.title} with the audio of ${other.title}`);
      await this.start(this.video);
    } catch (e) { if (turn === this.turn) this.onSay(`${other.title}: ${e.message}`); }
  }

  showSwap(item, other, swap, row) {
    const starts = [...new Set([...(row?.starts || []), swap.audio_start])].sort((a, b) => a - b);
    const options = starts.map(start => make('option', {
      value: start, selected: start === swap.audio_start,
      textContent: `from ${clock(start)}${start === row?.start ? ' (most similar)' : ''}` }));
    const pick = make('select', { 'aria-label': 'Where the audio begins' }, ...options);
    pick.onchange = () => this.onSwap({ ...swap, audio_start: +pick.value });
    const mute = makeButton('Mute', { 'aria-pressed': 'false' });
    mute.onclick = () => {
      this.audio.muted = !this.audio.muted;
      mute.setAttribute('aria-pressed', String(this.audio.muted));
    };
    const back = makeButton('Restore original audio', { onclick: () => { this.onSwap(null); this.video.focus(); } });
    const bold = text => make('b', { textContent: text });
    const text = make('p', {}, 'Video of ', bold(item.title), ', audio of ', bold(other.title));
    this.swapBox.replaceChildren(text, make('div', {}, pick, mute, back));
    this.swapBox.hidden = false;
  }

  endSwap() {
    this.audio.pause();
    this.swapped = null;
    this.swapBox.hidden = true;
    this.video.muted = false;
  }

  back() { // its own audio again
    ++this.turn;
    this.endSwap();
    this.onSay('Original audio restored');
  }

  unload(media) { // no frame of an earlier clip stays
    media.pause();
    media.removeAttribute('src');
    delete media.dataset.url;
    media.load();
  }

  clear() {
    ++this.turn;
    this.endSwap();
    this.unload(this.video);
    this.unload(this.audio);
    this.describe(null);
    this.onPlaying(null);
  }

  follow() { // the audio follows the video: paused with it, sought with it, never more than 80 ms away
    if (!this.swapped) return;
    const { video, audio } = this;
    if (!video.muted) video.muted = true;
    const time = video.currentTime - this.swapped.videoOffset + this.swapped.audioOffset;
    const isWaiting = video.paused || video.seeking || video.readyState < 3;
    if (isWaiting || time < 0 || time > audio.duration) {
      if (!audio.paused) audio.pause();
      this.calmUntil = 0;
      return;
    }
    Object.assign(audio, { volume: video.volume, playbackRate: video.playbackRate });
    if (Math.abs(audio.currentTime - time) > .08 && !audio.seeking && performance.now() > this.calmUntil) {
      audio.currentTime = time;
      this.calmUntil = performance.now() + 500;
    }
    if (audio.paused) this.start(audio);
  }

  close() {
    this.isClosed = true;
    clearInterval(this.beat);
    this.video.pause();
    this.audio.pause();
  }
}

// ---- lists beside the map

class Legend { // the names of a column, to hide and to show
  constructor({ onShown }) {
    this.onShown = onShown;
    this.element = make('div', {
      className: 'mvx-legend', role: 'group', 'aria-label': 'Legend: press to hide or show' });
  }

  update(column, codes, isOn) {
    const counts = new Uint32Array(column.names.length);
    for (const code of codes) counts[code]++;
    this.element.replaceChildren(...column.names.map((name, k) => this.entry(column, isOn, k, counts[k])));
  }

  entry(column, isOn, k, count) {
    const dot = make('i');
    dot.style.background = column.colors[k];
    const toggle = () => {
      const names = column.names.filter((_, j) => (j === k ? !isOn[j] : isOn[j]));
      this.onShown(names.length === column.names.length ? null : names);
      this.element.children[k]?.focus();
    };
    const text = [dot, make('span', { textContent: column.names[k] }), make('small', { textContent: count })];
    return make('button', { type: 'button', 'aria-pressed': String(isOn[k]), onclick: toggle }, ...text);
  }
}

class PointList { // the points that are shown, a hundred at a time
  constructor({ isOpen, onChoose }) {
    this.onChoose = onChoose;
    this.summary = make('summary', { textContent: 'List' });
    this.list = make('ol', { className: 'mvx-list', 'aria-label': 'Points shown' });
    this.element = make('details', { open: isOpen }, this.summary, this.list);
    this.list.addEventListener('keydown', e => this.onKey(e));
  }

  update(points, shown, selectedId) {
    Object.assign(this, { points, shown, selectedId });
    this.summary.textContent = `List (${shown.length} of ${points.n})`;
    this.list.replaceChildren();
    this.append(0);
  }

  append(from, count = 100) {
    const rows = this.shown.slice(from, from + count), left = this.shown.length - from - rows.length;
    this.list.append(...rows.map(i => make('li', {}, this.entry(i))));
    if (left) {
      const more = () => {
        this.list.lastChild.remove();
        this.append(from + count);
        this.list.children[from + count].firstChild.focus();
      };
      const text = `Show ${Math.min(count, left)} more (${left} left)`;
      this.list.append(make('li', {}, makeButton(text, { onclick: more })));
    }
    this.mark(this.selectedId);
  }

  entry(i) {
    const { title, artist } = this.points.item(i);
    const button = makeButton(joined(' · ', title, artist), { onclick: () => this.onChoose(i) });
    button.dataset.row = i;
    return button;
  }

  mark(id) {
    this.selectedId = id;
    for (const button of this.list.querySelectorAll('[data-row]')) {
      const isSelected = this.points.item(+button.dataset.row).id === id;
      button.setAttribute('aria-current', String(isSelected));
    }
  }

  onKey(event) {
    const buttons = [...this.list.querySelectorAll('button')], from = buttons.indexOf(event.target.closest('button'));
    const to = buttons[from + ({ ArrowDown: 1, ArrowUp: -1 }[event.key] || 0)];
    if (!to || to === buttons[from]) return;
    to.focus();
    event.preventDefault();
  }
}

class NeighbourList { // neighbours of the selected point, by audio, by video or by both
  constructor({ onBy, onChoose, onSwap }) {
    Object.assign(this, { onBy, onChoose, onSwap });
    this.tabs = make('div', { className: 'mvx-tabs', role: 'group', 'aria-label': 'Nearest by' });
    this.list = make('ol', { 'aria-label': 'Neighbours' });
    this.element = make('div', { className: 'mvx-near', hidden: true },
      make('h3', { textContent: 'Nearest by' }), this.tabs, this.list);
  }

  clear(by, isHidden) {
    this.element.hidden = isHidden;
    this.list.replaceChildren();
    this.tabs.replaceChildren(...Object.entries(MODES).map(([name, text], k) => makeButton(text, {
      'aria-pressed': String(name === by), onclick: () => { this.onBy(name); this.tabs.children[k].focus(); } })));
  }

  update(points, rows, note) {
    this.list.replaceChildren(...rows.map(row => this.entry(points, row)));
    if (!rows.length) this.list.append(make('li', { className: 'mvx-soft', textContent: note || 'No neighbours' }));
  }

  entry(points, row) {
    const i = points.row(row.id), { title, artist } = points.item(i);
    const moments = `most similar: ${clock(row.seed_start)} ↔ ${clock(row.start)}`;
    const swap = { id: row.id, video_start: row.seed_start, audio_start: row.start };
    const score = make('span', { className: 'mvx-soft', textContent: joined(' · ', row.score.toFixed(2), artist) });
    return make('li', {},
      make('div', { title: moments }, make('b', { textContent: title }), score),
      makeButton('▶', { title: 'Play', 'aria-label': `Play ${title}`, onclick: () => this.onChoose(i) }),
      makeButton('⇄', {
        title: 'Use its audio for the selected video', 'aria-label': `Use the audio of ${title} for the selected video`,
        disabled: !row.has_audio, onclick: () => this.onSwap(swap) }));
  }
}

// ---- the widget

function keepInPlace(element, change) { // scroll the page by as much as a change moves an element
  const before = element.getBoundingClientRect().top;
  change();
  scrollBy(0, element.getBoundingClientRect().top - before);
}

function render({ model, el }) {
  let points, state = {}; // the fields of a `View`, see explorer.py
  let applied = {}; // what of the state was applied, as JSON by field
  let neighbours = []; // rows of the answer about the selected point

  const say = text => { status.textContent = text; };
  const set = changes => {
    state = { ...state, ...changes };
    model.set('state', state);
    model.save_changes?.();
    apply();
  };
  const choose = i => {
    const { id } = points.item(i);
    if (id === state.selected && !state.swap) player.play(points.item(i));
    else set({ selected: id, swap: null });
  };
  const showPlaying = id => keepInPlace(map.element, () => {
    if (id === null) delete root.dataset.playing;
    else root.dataset.playing = id;
  });

  // -- elements
  const kernel = new Kernel(model);
  const map = new MapView({ onChoose: choose, onLasso: lasso => set({ lasso }), onSay: say });
  const player = new Player({ kernel, onSay: say, onSwap: swap => set({ swap }), onPlaying: showPlaying });
  const legend = new Legend({ onShown: shown => set({ shown }) });
  const list = new PointList({ isOpen: !model.get('info').many, onChoose: choose });
  const near = new NeighbourList({ onBy: by => set({ by }), onChoose: choose, onSwap: swap => set({ swap }) });
  const search = make('input', { type: 'search', placeholder: 'Title, artist, tag…', 'aria-label': 'Search the map' });
  const color = make('select', { 'aria-label': 'Colour by' });
  const level = make('select', { 'aria-label': 'A point stands for' });
  const reset = makeButton('Show all'), share = makeButton('Share');
  const bar = make('div', { className: 'mvx-bar', role: 'group', 'aria-label': 'What the map shows' },
    make('div', { className: 'mvx-grow' }, search), make('label', {}, 'Colour', color),
    make('label', {}, 'Points', level), map.lassoButton, reset, share);
  const status = make('div', { className: 'mvx-status', role: 'status', 'aria-live': 'polite' });
  const main = make('div', { className: 'mvx-main' }, map.element, legend.element, list.element, status);
  const side = make('div', { className: 'mvx-side' }, player.element, near.element);
  const root = make('div', { className: 'mvx' }, bar, make('div', { className: 'mvx-body' }, main, side));
  el.append(root);
  map.onDrawn = () => Object.assign(root.dataset, { drawMs: map.drawMs.toFixed(2), drawn: points.n });

  // -- what is shown
  function filterPoints() {
    const column = points.column(state.color), codes = points.columnCodes(column);
    const isOn = column.names.map(name => !state.shown || state.shown.includes(name));
    const matches = points.matcher(state.text || ''), { lasso } = state, { xy } = points;
    const passes = i => isOn[codes[i]] && matches(i) && (!lasso || isInside(lasso, xy[2*i], xy[2*i+1]));
    const mask = new Uint8Array(points.n), shown = [];
    for (let i = 0; i < points.n; i++) if (passes(i)) { mask[i] = 1; shown.push(i); }
    Object.assign(map, { mask, shown, lasso, coloring: { colors: column.colors, codes } });
    map.redraw();
    legend.update(column, codes, isOn);
    list.update(points, shown, state.selected);
    root.dataset.shown = shown.length;
    say(`${shown.length} of ${points.n} points shown`);
  }

  async function findNeighbours() {
    const { selected, by } = state, isOnMap = points.row(selected) >= 0;
    showNeighbours([]);
    near.clear(by, !isOnMap);
    if (!isOnMap) return;
    let answer;
    try { answer = await kernel.ask('near', { id: selected, by }); }
    catch (e) { answer = { rows: [], note: e.message }; }
    if (player.isClosed || selected !== state.selected || by !== state.by) return;
    showNeighbours(answer.rows.filter(o => points.row(o.id) >= 0));
    near.update(points, neighbours, answer.note);
    root.dataset.near = neighbours.map(o => o.id).join(' ');
  }

  function showNeighbours(rows) {
    neighbours = rows;
    map.neighbours = rows.map(o => points.row(o.id));
    map.refresh();
  }

  // -- state: what differs from what was applied is applied
  function isNew(...names) {
    const changed = names.filter(name => applied[name] !== JSON.stringify(state[name] ?? null));
    for (const name of changed) applied[name] = JSON.stringify(state[name] ?? null);
    return changed.length > 0;
  }

  function apply() {
    if (isNew('color', 'shown', 'text', 'lasso')) {
      color.value = points.column(state.color).name;
      if (document.activeElement !== search) search.value = state.text || '';
      filterPoints();
    }
    level.value = state.level;
    const isSelectedNew = isNew('selected'), isByNew = isNew('by'), isSwapNew = isNew('swap');
    if (isSelectedNew) applySelected();
    const found = isSelectedNew || isByNew ? findNeighbours() : Promise.resolve();
    if (isSwapNew && state.swap) found.then(() => state.swap && playSwap(state.swap));
    else if (isSwapNew && !isSelectedNew) player.back();
    map.refresh();
  }

  function applySelected() {
    map.selected = points.row(state.selected);
    list.mark(state.selected);
    if (map.selected < 0) player.clear();
    else if (!state.swap) player.play(points.item(map.selected));
  }

  function playSwap(swap) {
    const other = points.row(swap.id);
    if (map.selected < 0) return;
    const item = points.item(map.selected);
    if (other < 0) player.play(item); // a link to audio that is gone
    else player.playSwapped(item, points.item(other), swap, neighbours.find(o => o.id === swap.id));
  }

  function reload() { // another map: at the start, and when the level changes
    points = new Points(model);
    state = model.get('state');
    applied = { selected: 'null', swap: 'null' };
    map.setPoints(points);
    player.clear();
    const option = (value, text) => make('option', { value, textContent: text });
    color.replaceChildren(...points.info.columns.map(o => option(o.name, o.name)));
    level.replaceChildren(...points.info.levels.map(o => option(o, `${o}s`)));
    level.parentElement.hidden = points.info.levels.length < 2;
    apply();
    map.resize();
  }

  // -- controls
  const showAll = () => { search.value = ''; set({ lasso: null, text: '', shown: null }); };
  const goBack = () => {
    if (map.isLassoing) map.setLassoing(false);
    else if (state.swap) set({ swap: null });
    else if (state.lasso || state.text || state.shown) showAll();
    else if (state.selected) set({ selected: null, swap: null });
    map.point(-1);
  };
  const copyView = async () => {
    const text = model.link?.(state) ?? JSON.stringify(state);
    root.dataset.shared = text;
    try {
      await navigator.clipboard.writeText(text);
      say(model.link ? 'Copied a link to this view' : 'Copied this view, for Explorer.restore');
    } catch { say(text); }
  };
  root.addEventListener('keydown', e => {
    const isControl = ['INPUT', 'SELECT'].includes(e.target.tagName) || e.key === 'Enter';
    if (isControl || e.key === 'Escape') e.stopPropagation(); // a notebook has keys of its own
    if (e.key === 'Escape') goBack();
  });
  root.addEventListener('click', e => { // a button that was clicked leaves the keys to the map
    const isButton = e.detail && e.target.closest('button') && !e.composedPath().includes(list.element);
    if (isButton) map.top.focus({ preventScroll: true });
  });
  search.addEventListener('input', () => set({ text: search.value }));
  color.addEventListener('change', () => set({ color: color.value, shown: null }));
  level.addEventListener('change', () => {
    set({ level: level.value, selected: null, swap: null, lasso: null, shown: null });
  });
  reset.addEventListener('click', () => { showAll(); map.fit(); });
  share.addEventListener('click', copyView);

  // -- life
  const onState = () => { if (model.get('state') !== state) { state = model.get('state'); apply(); } };
  const setTheme = () => {
    const theme = isDark(el) ? 'dark' : 'light';
    root.style.colorScheme = theme;
    map.setTheme(THEMES[theme]);
  };
  const systemTheme = matchMedia('(prefers-color-scheme: dark)'), themes = new MutationObserver(setTheme);
  const sizes = new ResizeObserver(() => map.resize());
  model.on('change:state', onState);
  model.on('change:info', reload);
  reload();
  setTheme();
  sizes.observe(map.element);
  themes.observe(document.body, {
    attributes: true, attributeFilter: ['class', 'data-jp-theme-light', 'data-vscode-theme-kind'] });
  systemTheme.addEventListener('change', setTheme);
  root.mvx = { // for tests and measurements
    at: id => points.row(id), px: i => { const box = map.top.getBoundingClientRect(), [x, y] = map.positionOf(i);
      return [box.left + x, box.top + y]; },
    draw: () => map.draw(), zoom: k => map.zoom(k), video: player.video, audio: player.audio,
    get swapped() { return player.swapped; },
  };
  return () => {
    sizes.disconnect();
    themes.disconnect();
    systemTheme.removeEventListener('change', setTheme);
    model.off?.('change:state', onState);
    model.off?.('change:info', reload);
    map.close();
    player.close();
    kernel.close();
  };
}

// ---- the page without a kernel

const NO_CLIP = { error: 'this page has no clip of this video' };
const NO_NEIGHBOUR = 0xffffffff;
const BUFFERS = { // see `page_level` in static_page.py
  video_rows: Uint32Array, point_starts: Float32Array, neighbours: Uint32Array, scores: Int8Array,
  own_segments: Uint16Array, segments: Uint16Array,
};

function fromBase64(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text).buffer;
  const binary = atob(text), out = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) out[i] = binary.charCodeAt(i);
  return out.buffer;
}

const isNumber = value => Number.isFinite(value) && value >= 0;
const isText = value => typeof value === 'string' && value.length <= 500;
const isCorner = value => Array.isArray(value) && value.length === 2 && value.every(Number.isFinite);
const VALID = { // fields of a view in an address that can be used
  by: value => value in MODES, color: isText, text: isText, selected: isText,
  shown: value => Array.isArray(value) && value.length <= 50 && value.every(isText),
  lasso: value => Array.isArray(value) && value.length <= 1000 && value.every(isCorner),
  swap: value => isText(value?.id) && isNumber(value.video_start) && isNumber(value.audio_start),
};

function viewFromAddress(levels) { // as far as it makes sense
  let view;
  try { view = JSON.parse(decodeURIComponent(location.hash.slice(1))); } catch { return {}; }
  if (!view || typeof view !== 'object') return {};
  const known = Object.entries(view).filter(([name, value]) => VALID[name]?.(value));
  return Object.fromEntries(levels.includes(view.level) ? [...known, ['level', view.level]] : known);
}

class PageModel { // answers as a kernel does, from what the page holds
  constructor(data, readMore) {
    this.data = data;
    this.readMore = readMore; // what the first drawing does not need
    this.listeners = {};
    this.buffers = {}; // decoded buffers of the levels that were shown
    this.knowledge = {}; // what `know` found, by level
    this.isComplete = new Promise(resolve => {
      if (document.readyState !== 'loading') resolve();
      else addEventListener('DOMContentLoaded', resolve, { once: true });
    });
    this.follow();
    addEventListener('popstate', () => { // Back and Forward, or another address of this page
      const { level } = this;
      this.follow();
      this.tell(level === this.level ? 'change:state' : 'change:info');
    });
  }

  follow() {
    this.state = { ...this.data.state, ...viewFromAddress(Object.keys(this.data.levels)) };
    this.level = this.state.level;
    this.entry = this.selection(this.state);
  }

  selection(state) { return JSON.stringify([state.level, state.selected ?? null]); }

  // -- what anywidget expects of a model
  get(name) { return name === 'state' ? this.state : this.open(this.level)[name]; }

  set(name, value) {
    this.state = value;
    if (value.level === this.level) return;
    this.level = value.level;
    this.tell('change:info');
  }

  save_changes() { // a selection is an entry of the history of its own
    const entry = this.selection(this.state);
    history[entry === this.entry ? 'replaceState' : 'pushState'](null, '', this.hash(this.state));
    this.entry = entry;
  }

  on(name, listener) { (this.listeners[name] ||= []).push(listener); }

  off(name, listener) { this.listeners[name] = (this.listeners[name] || []).filter(o => o !== listener); }

  tell(name, ...content) { for (const listener of this.listeners[name] || []) listener(...content); }

  async send(message) { // a clip from a server is fetched whole: not every server answers a request for a part
    const { level } = this;
    await this.isComplete;
    const answer = { kind: 'answer', key: message.key, ...this.answer(this.know(level), message) };
    let buffers;
    if (answer.url && location.protocol !== 'file:') {
      try { buffers = [await this.download(answer.url)]; answer.file = answer.url; }
      catch { answer.error = 'the clip could not be loaded'; }
    }
    this.tell('msg:custom', answer, buffers);
  }

  async download(url) {
    const response = await fetch(url);
    if (!response.ok) throw new Error(response.statusText);
    return response.arrayBuffer();
  }

  hash(state) { return `#${encodeURIComponent(JSON.stringify(state))}`; }

  link(state) { return location.href.split('#')[0] + this.hash(state); }

  // -- what it knows
  open(level) { // the buffers of a level
    const decode = ([name, value]) => [name, typeof value === 'string' && name !== 'text' ? fromBase64(value) : value];
    this.buffers[level] ||= Object.fromEntries(Object.entries(this.data.levels[level]).map(decode));
    return this.buffers[level];
  }

  know(level) { // ids, videos and neighbours of a level
    if (this.knowledge[level]) return this.knowledge[level];
    this.more ||= this.readMore();
    const more = this.more.levels[level], ids = this.open(level).text.split('\n').map(o => o.slice(0, o.indexOf('\t')));
    const known = { ids, k: more.k, rows: new Map(ids.map((id, i) => [id, i])) };
    for (const [name, Type] of Object.entries(BUFFERS)) known[name] = new Type(fromBase64(more[name]));
    this.knowledge[level] = known;
    return known;
  }

  videoOf(known, i) {
    const [file, hasAudio, length, starts, clipStarts] = this.more.media[known.video_rows[i]];
    return { file, hasAudio: !!hasAudio, length, starts, clipStarts: clipStarts || starts };
  }

  answer(known, { kind, id, by, moment }) {
    const i = known.rows.get(id);
    if (kind === 'clip') return i === undefined ? NO_CLIP : this.findClip(known, i, moment);
    const rows = i === undefined ? [] : this.findNeighbours(known, i, by);
    return { rows, note: rows.length ? '' : 'No video matches' };
  }

  findClip(known, i, moment) { // of the clips that could be cut, the last one that begins before the moment
    const { file, length, starts, clipStarts } = this.videoOf(known, i);
    const at = moment ?? known.point_starts[i] ?? starts[starts.length >> 1];
    let number = -1;
    clipStarts.forEach((start, k) => { if (start !== null && (number < 0 || start <= at + .01)) number = k; });
    if (number < 0) return NO_CLIP;
    return { url: `media/${file}-${number}.mp4`, offset: clamp(at - clipStarts[number], 0, length) };
  }

  findNeighbours(known, i, by) {
    const first = (Object.keys(MODES).indexOf(by) * known.ids.length + i) * known.k, rows = [];
    const own = this.videoOf(known, i), isSegment = known.point_starts.length > 0;
    for (let j = first; j < first + known.k && known.neighbours[j] !== NO_NEIGHBOUR; j++) {
      const other = known.neighbours[j], { starts, hasAudio } = this.videoOf(known, other);
      rows.push({
        id: known.ids[other], score: known.scores[j] / 100, starts, has_audio: hasAudio,
        seed_start: isSegment ? known.point_starts[i] : own.starts[known.own_segments[j]],
        start: isSegment ? known.point_starts[other] : starts[known.segments[j]] });
    }
    return rows;
  }
}

function mount(el, data, readMore) { return render({ model: new PageModel(data, readMore), el }); }

export default { render };
export { mount };
