// The explorer: one ES module for the Jupyter widget (anywidget calls `render`) and for the page without a kernel (`mount`).
// Text from metadata reaches the page by textContent and fillText alone.
const bytes = (v, T) => v instanceof ArrayBuffer ? new T(v) : v.byteOffset % T.BYTES_PER_ELEMENT ? new T(v.buffer.slice(v.byteOffset, v.byteOffset + v.byteLength)) : new T(v.buffer, v.byteOffset, v.byteLength / T.BYTES_PER_ELEMENT);
const clamp = (v, a, b) => Math.min(b, Math.max(a, v)), clock = s => `${Math.floor(s / 60)}:${String(Math.floor(s % 60)).padStart(2, '0')}`;
const SIDES = { audio: 'Sound', video: 'Picture', joint: 'Both' };

function make(tag, props = {}, ...kids) {
  const e = document.createElement(tag);
  e.setAttribute('data-lm-suppress-shortcuts', 'true'); // a notebook looks from the focused element outwards for keys to take
  for (const [k, v] of Object.entries(props)) if (k.includes('-') || k === 'role') e.setAttribute(k, v); else e[k] = v;
  e.append(...kids);
  return e;
}

function isDark(el) { // the nearest painted background decides; a page without one follows the system
  for (let e = el; e; e = e.parentElement) {
    const c = getComputedStyle(e).backgroundColor.match(/[\d.]+/g)?.map(Number);
    if (c && (c.length < 4 || c[3] > .5)) return .2126 * c[0] + .7152 * c[1] + .0722 * c[2] < 128;
  }
  return matchMedia('(prefers-color-scheme: dark)').matches;
}

// ---- points: what the buffers hold

function unpack(model) {
  const info = model.get('info'), text = model.get('text'), lines = (typeof text === 'string' ? text : new TextDecoder().decode(bytes(text, Uint8Array))).split('\n'), n = info.n;
  const P = { info, n, xy: bytes(model.get('xy'), Float32Array), codes: bytes(model.get('codes'), Uint8Array), low: null, at: new Map() };
  P.item = i => { const [id, video, title, artist, about] = lines[i].split('\t'); return { id, video, title, artist, about }; };
  for (let i = 0; i < n; i++) P.at.set(lines[i].slice(0, lines[i].indexOf('\t')), i);
  P.find = words => { P.low ||= lines.map(o => o.toLowerCase()); return i => words.every(w => P.low[i].includes(w)); };
  let [x0, x1, y0, y1] = [Infinity, -Infinity, Infinity, -Infinity];
  for (let i = 0; i < n; i++) { const x = P.xy[2*i], y = P.xy[2*i+1]; if (x < x0) x0 = x; if (x > x1) x1 = x; if (y < y0) y0 = y; if (y > y1) y1 = y; }
  if (!n) [x0, x1, y0, y1] = [0, 1, 0, 1];
  P.box = [x0, x1, y0, y1];
  const G = P.G = clamp(Math.floor(Math.sqrt(n / 3)), 1, 512), cx = (x1 - x0) / G || 1, cy = (y1 - y0) / G || 1;
  P.cellX = x => clamp(Math.floor((x - x0) / cx), 0, G - 1); P.cellY = y => clamp(Math.floor((y - y0) / cy), 0, G - 1);
  const where = new Uint32Array(n), first = P.first = new Uint32Array(G * G + 1), order = P.order = new Uint32Array(n);
  for (let i = 0; i < n; i++) first[(where[i] = P.cellX(P.xy[2*i]) * G + P.cellY(P.xy[2*i+1])) + 1]++;
  for (let k = 0; k < G * G; k++) first[k+1] += first[k];
  const next = first.slice(0, G * G);
  for (let i = 0; i < n; i++) order[next[where[i]]++] = i;
  return P;
}

function inside(poly, x, y) { // even-odd rule, as `Explorer.lasso` has it
  let on = false;
  for (let i = 0, j = poly.length - 1; i < poly.length; j = i++) {
    const [ax, ay] = poly[i], [bx, by] = poly[j];
    if ((ay > y) !== (by > y) && x < (bx - ax) * (y - ay) / (by - ay) + ax) on = !on;
  }
  return on;
}

// ---- drawing: discs written straight into the pixels, so that it is fast without a graphics card and alike everywhere

function sprite(r) {
  const R = Math.ceil(r), out = [];
  for (let y = -R; y <= R; y++) for (let x = -R; x <= R; x++) { const a = clamp(r + .5 - Math.hypot(x, y), 0, 1); if (a > .04) out.push(x, y, Math.round(255 * a)); }
  return Int16Array.from(out);
}
const rgb = hex => [1, 3, 5].map(k => parseInt(hex.slice(k, k + 2), 16));

function paint(img, W, H, P, view, color, mask, faint, r) {
  const px = new Uint32Array(img.data.buffer), S = sprite(r), F = sprite(Math.max(.8, r * .6)), { xy, n } = P;
  px.fill(0);
  const pack = ([a, b, c]) => (c << 16 | b << 8 | a) >>> 0, paints = color.colors.map(o => pack(rgb(o))), pale = pack(rgb(faint)), codes = color.codes;
  for (const pass of [0, 1]) for (let i = 0; i < n; i++) {
    if (mask[i] !== pass) continue;
    const X = Math.round(view.ox + view.s * xy[2*i]), Y = Math.round(view.oy - view.s * xy[2*i+1]);
    if (X < -9 || Y < -9 || X > W + 9 || Y > H + 9) continue;
    const c = pass ? paints[codes[i]] : pale, D = pass ? S : F;
    for (let k = 0; k < D.length; k += 3) {
      const x = X + D[k], y = Y + D[k+1];
      if (x < 0 || y < 0 || x >= W || y >= H) continue;
      const p = y * W + x, a = D[k+2], old = px[p];
      if (a === 255 || !old) px[p] = (a << 24 | c) >>> 0;
      else { // an edge over another point
        const m = (o, w) => { const u = o >>> w & 255, v = c >>> w & 255; return u + ((v - u) * a >> 8) << w; };
        px[p] = (Math.max(a, old >>> 24) << 24 | m(old, 16) | m(old, 8) | m(old, 0)) >>> 0;
      }
    }
  }
}

// ---- the widget

function render({ model, el }) {
  let P, view, mask, shown = [], state = {}, done = {}, hover = -1, near = [], asked = 0, lassoing = false, draft = null, closed = false, lost = [];
  const waiting = new Map(), urls = new Map();
  const ask = (kind, args) => new Promise((ok, no) => { const key = ++asked; waiting.set(key, [ok, no]); model.send({ kind, key, ...args }); });
  const heard = (m, bufs) => {
    const w = m?.kind === 'answer' && waiting.get(m.key);
    if (!w) return;
    waiting.delete(m.key);
    if (m.error) return w[1](new Error(m.error));
    if (bufs?.length) { // a clip that came before keeps its address
      if (!urls.has(m.file)) urls.set(m.file, URL.createObjectURL(new Blob([bufs[0]], { type: 'video/mp4' })));
      m.url = urls.get(m.file); urls.delete(m.file); urls.set(m.file, m.url);
      for (const [k, u] of urls) { if (urls.size <= 24) break; URL.revokeObjectURL(u); urls.delete(k); }
    }
    w[0](m);
  };
  const set = patch => { state = { ...state, ...patch }; model.set('state', state); model.save_changes?.(); apply(); };

  // -- elements
  const search = make('input', { type: 'search', placeholder: 'Title, artist, tag…', 'aria-label': 'Search the map' });
  const colour = make('select', { 'aria-label': 'Colour by' }), level = make('select', { 'aria-label': 'One point is' });
  const lassoB = make('button', { type: 'button', textContent: 'Lasso', title: 'Draw around points (or hold Shift and drag)', 'aria-pressed': 'false' });
  const reset = make('button', { type: 'button', textContent: 'Show all' }), share = make('button', { type: 'button', textContent: 'Share' });
  const bar = make('div', { className: 'mvx-bar', role: 'toolbar', 'aria-label': 'What the map shows' }, make('div', { className: 'mvx-grow' }, search), make('label', {}, 'Colour', colour), make('label', {}, 'Points', level), lassoB, reset, share);
  const base = make('canvas'), top = make('canvas', { tabIndex: 0, role: 'application', 'aria-roledescription': 'map of videos' });
  base.setAttribute('aria-hidden', 'true');
  top.setAttribute('aria-label', 'Map of videos. Arrow keys go from point to point, Enter plays, L draws a lasso around a point and again a wider one, Escape goes back, plus and minus zoom. All points are also in the list below the map.');
  const tip = make('div', { className: 'mvx-tip', hidden: true });
  const zoomB = [['+', 'Zoom in', 1.5], ['−', 'Zoom out', 1 / 1.5], ['⤢', 'Whole map', 0]].map(([t, l, k]) => make('button', { type: 'button', textContent: t, title: l, 'aria-label': l, onclick: () => k ? zoom(k) : fit() }));
  const map = make('div', { className: 'mvx-map' }, base, top, tip, make('div', { className: 'mvx-zoom' }, ...zoomB));
  const legend = make('div', { className: 'mvx-legend', role: 'group', 'aria-label': 'Legend: press to hide or show' });
  const list = make('ol', { className: 'mvx-list', 'aria-label': 'Points shown' }), sum = make('summary', { textContent: 'List' });
  const video = make('video', { controls: true, playsInline: true, preload: 'auto', 'aria-label': 'Player' }), music = make('audio', { preload: 'auto' });
  const head = make('h3', { textContent: 'Choose a point' }), about = make('p', { className: 'mvx-soft', textContent: 'Click a point and its clip plays, with its sound.' });
  const swapBox = make('div', { className: 'mvx-swap', hidden: true, role: 'group', 'aria-label': 'Swapped soundtrack' });
  const tabs = make('div', { className: 'mvx-tabs', role: 'group', 'aria-label': 'Neighbours by' }), nearList = make('ol', { className: 'mvx-near', 'aria-label': 'Neighbours' });
  const nearHead = make('h4', { textContent: 'Nearest by', hidden: true });
  tabs.hidden = true;
  const side = make('div', { className: 'mvx-side' }, video, music, head, about, swapBox, nearHead, tabs, nearList);
  const status = make('div', { className: 'mvx-status', role: 'status', 'aria-live': 'polite' });
  const root = make('div', { className: 'mvx' }, bar, make('div', { className: 'mvx-body' }, make('div', {}, map, legend, make('details', { open: !model.get('info').many }, sum, list), status), side));
  el.append(root);
  const say = t => { status.textContent = t; };
  const ctx = base.getContext('2d'), over = top.getContext('2d');
  let W = 0, H = 0, dpr = 1, img = null, raf = 0, ink = '#000', paper = '#fff', faint = '#ccc', dark = false;

  function theme() {
    dark = isDark(el); root.style.colorScheme = dark ? 'dark' : 'light';
    [ink, paper, faint] = dark ? ['#ececf1', '#17161d', '#3a3844'] : ['#1c1b22', '#f8f7fa', '#d5d3dd'];
    dirty();
  }
  const column = () => P.info.columns.find(o => o.name === state.color) || P.info.columns[0];
  const codesOf = c => P.codes.subarray(P.info.columns.indexOf(c) * P.n, (P.info.columns.indexOf(c) + 1) * P.n);
  const radius = () => clamp(13 * Math.max(1, P.n) ** -.22, 1, 7) * clamp((view.s / view.s0) ** .35, .8, 2.4) * dpr;
  const px = i => [(view.ox + view.s * P.xy[2*i]) / dpr, (view.oy - view.s * P.xy[2*i+1]) / dpr];

  function size() {
    const b = map.getBoundingClientRect();
    if (b.width < 2 || b.height < 2) return;
    const d = Math.min(globalThis.devicePixelRatio || 1, P.n > 30000 ? 1 : 2), w = Math.round(b.width * d), h = Math.round(b.height * d);
    if (w === W && h === H) return;
    const old = W && view && [W, H];
    dpr = d; W = w; H = h;
    for (const c of [base, top]) { c.width = W; c.height = H; }
    img = ctx.createImageData(W, H);
    if (!old) fit(); else { view.ox += (W - old[0]) / 2; view.oy += (H - old[1]) / 2; dirty(); }
  }
  function fit() {
    const [x0, x1, y0, y1] = P.box, pad = (P.n < 60 ? 60 : 26) * dpr, s = Math.min((W - 2 * pad) / (x1 - x0 || 1), (H - 2 * pad) / (y1 - y0 || 1));
    view = { s, s0: s, ox: W / 2 - s * (x0 + x1) / 2, oy: H / 2 + s * (y0 + y1) / 2 };
    dirty();
  }
  function zoom(k, x = W / 2, y = H / 2) {
    k = clamp(view.s * k, view.s0 / 4, view.s0 * 400) / view.s;
    Object.assign(view, { s: view.s * k, ox: x - (x - view.ox) * k, oy: y - (y - view.oy) * k });
    dirty();
  }
  const dirty = () => { img && (raf ||= requestAnimationFrame(() => { draw(); overlay(); })); };
  let rafTop = 0;
  const touch = () => { img && !raf && (rafTop ||= requestAnimationFrame(() => { rafTop = 0; overlay(); })); };
  function draw() {
    raf = 0;
    const t = performance.now(), c = column();
    paint(img, W, H, P, view, { colors: c.colors, codes: codesOf(c) }, mask, faint, radius());
    ctx.putImageData(img, 0, 0);
    root.dataset.drawMs = (performance.now() - t).toFixed(2);
    root.dataset.drawn = P.n;
  }
  function overlay() {
    over.setTransform(1, 0, 0, 1, 0, 0); over.clearRect(0, 0, W, H); over.setTransform(dpr, 0, 0, dpr, 0, 0);
    const sel = P.at.get(state.selected) ?? -1, r = radius() / dpr, ring = (i, w, grow) => { const [x, y] = px(i); over.lineWidth = w; over.beginPath(); over.arc(x, y, r + grow, 0, 6.2832); over.stroke(); };
    if (sel >= 0) {
      over.strokeStyle = ink; over.globalAlpha = .35; over.lineWidth = 1.25;
      for (const o of near) if (P.at.has(o.id)) { over.beginPath(); over.moveTo(...px(sel)); over.lineTo(...px(P.at.get(o.id))); over.stroke(); }
      over.globalAlpha = 1;
      for (const o of near) if (P.at.has(o.id)) ring(P.at.get(o.id), 1.25, 2);
      ring(sel, 3, 3.5);
    }
    if (hover >= 0) { over.strokeStyle = ink; ring(hover, 1.75, 2.5); }
    const poly = draft || state.lasso;
    if (poly?.length > 1) {
      over.beginPath(); poly.forEach(([x, y], k) => over[k ? 'lineTo' : 'moveTo']((view.ox + view.s * x) / dpr, (view.oy - view.s * y) / dpr)); over.closePath();
      over.strokeStyle = ink; over.lineWidth = 1.5; over.setLineDash([5, 4]); over.stroke(); over.setLineDash([]); over.globalAlpha = .07; over.fillStyle = ink; over.fill(); over.globalAlpha = 1;
    }
    names(r);
  }
  function names(r) { // of the few points in view, where there is room
    const seen = [];
    for (const i of shown) { const [x, y] = px(i); if (x > 0 && y > 0 && x < W / dpr && y < H / dpr) { seen.push(i); if (seen.length > 40) return; } }
    over.font = '12px system-ui, sans-serif'; over.textBaseline = 'middle'; over.lineJoin = 'round';
    const taken = [];
    for (const i of seen) {
      const [x, y] = px(i), t = P.item(i).title.slice(0, 28), w = over.measureText(t).width, left = x + r + 5 + w > W / dpr, b = [left ? x - r - 5 - w : x + r + 5, y - 8, w, 16];
      if (taken.some(o => b[0] < o[0] + o[2] && o[0] < b[0] + b[2] && b[1] < o[1] + o[3] && o[1] < b[1] + b[3])) continue;
      taken.push(b);
      over.lineWidth = 3; over.strokeStyle = paper; over.strokeText(t, b[0], y); over.fillStyle = ink; over.fillText(t, b[0], y);
    }
  }

  // -- what is shown
  function refilter() {
    const c = column(), codes = codesOf(c), on = c.names.map(o => !state.shown || state.shown.includes(o));
    const words = (state.text || '').toLowerCase().split(/\s+/).filter(Boolean), hit = words.length ? P.find(words) : null, poly = state.lasso;
    mask = new Uint8Array(P.n); shown = [];
    for (let i = 0; i < P.n; i++) if (on[codes[i]] && (!hit || hit(i)) && (!poly || inside(poly, P.xy[2*i], P.xy[2*i+1]))) { mask[i] = 1; shown.push(i); }
    const counts = new Uint32Array(c.names.length);
    for (let i = 0; i < P.n; i++) counts[codes[i]]++;
    legend.replaceChildren(...c.names.map((name, k) => {
      const dot = make('i');
      dot.style.background = c.colors[k];
      return make('button', { type: 'button', 'aria-pressed': String(on[k]), onclick: () => {
        const now = c.names.filter((_, j) => j === k ? !on[k] : on[j]);
        set({ shown: now.length === c.names.length ? null : now }); legend.children[k]?.focus(); } }, dot, name, make('small', { textContent: counts[k] }));
    }));
    root.dataset.shown = shown.length;
    sum.textContent = `List (${shown.length} of ${P.n})`;
    list.replaceChildren(); listed(0);
    say(`${shown.length} of ${P.n} shown`);
    dirty();
  }
  function listed(from) { // a hundred at a time
    const rows = shown.slice(from, from + 100), left = shown.length - from - rows.length;
    list.append(...rows.map(i => { const o = P.item(i), b = make('button', { type: 'button', textContent: o.artist ? `${o.title} · ${o.artist}` : o.title, onclick: () => choose(i) }); b.dataset.i = i; return make('li', {}, b); }));
    if (left) list.append(make('li', {}, make('button', { type: 'button', textContent: `${Math.min(100, left)} more of ${left}`, onclick: e => { e.target.parentElement.remove(); listed(from + 100); marked(); list.children[from + 100].firstChild.focus(); } })));
  }
  const marked = () => { for (const b of list.querySelectorAll('[data-i]')) b.setAttribute('aria-current', String(P.item(+b.dataset.i).id === state.selected)); };

  // -- playing
  let playing = null, swapped = null, calm = 0, turn = 0; // turn: answers to an older click are dropped
  async function load(media, place) {
    const clip = await ask('clip', place);
    if (media.dataset.url !== clip.url || media.error) { media.src = clip.url; media.dataset.url = clip.url; }
    const settled = new AbortController(), once = { signal: settled.signal };
    try { await new Promise((ok, no) => { if (media.readyState > 0) ok(); media.addEventListener('loadedmetadata', ok, once); media.addEventListener('error', () => no(new Error('this browser cannot play the clip')), once); }); }
    finally { settled.abort(); }
    return clip;
  }
  const start = media => media.play().catch(e => { if (e.name === 'NotAllowedError') say('Press play: the browser wants a click before sound.'); });
  function named(o) { // whose picture it is
    head.textContent = o.title; about.textContent = [o.artist, o.about].filter(Boolean).join(' · ');
    video.setAttribute('aria-label', `Player: ${o.title}`);
  }
  async function open(i, at) {
    const mine = ++turn, o = P.item(i);
    music.pause(); swapped = null; swapBox.hidden = true; video.muted = false;
    named(o);
    root.dataset.playing = ''; say(`Loading ${o.title}`);
    try {
      const clip = await load(video, { id: o.id, at: at ?? null });
      if (mine !== turn || closed) return;
      playing = { id: o.id, ...clip };
      video.currentTime = clip.offset;
      root.dataset.playing = o.id; say(`Playing ${o.title}${o.artist ? ' by ' + o.artist : ''}`);
      await start(video);
    } catch (e) { if (mine === turn) say(`${o.title}: ${e.message}`); }
  }
  async function swapTo(s) {
    const i = P.at.get(state.selected), j = P.at.get(s.id);
    if (i === undefined) return;
    if (j === undefined) return open(i); // a link to music that is gone
    const mine = ++turn, me = P.item(i), other = P.item(j);
    named(me);
    try {
      say(`Loading the music of ${other.title}`);
      const [a, b] = await Promise.all([load(video, { id: me.id, at: s.at }), load(music, { id: other.id, at: s.start })]);
      if (mine !== turn || closed) return;
      playing = { id: me.id, ...a }; swapped = { ...s, a: a.offset, b: b.offset };
      video.muted = true; video.currentTime = a.offset; music.currentTime = b.offset; music.volume = video.volume; music.muted = false;
      root.dataset.playing = me.id;
      const row = near.find(o => o.id === s.id), starts = [...new Set([...(row?.starts || []), s.start])].sort((x, y) => x - y);
      const pick = make('select', { 'aria-label': 'From which segment of the music' }, ...starts.map(t => make('option', { value: t, textContent: `from ${clock(t)}${t === row?.start ? ' (most alike)' : ''}`, selected: t === s.start })));
      pick.onchange = () => set({ swap: { ...s, start: +pick.value } });
      const mute = make('button', { type: 'button', textContent: 'Mute', 'aria-pressed': 'false', onclick: () => { music.muted = !music.muted; mute.setAttribute('aria-pressed', String(music.muted)); } });
      swapBox.replaceChildren(make('p', {}, 'Picture of ', make('b', { textContent: me.title }), ', music of ', make('b', { textContent: other.title })),
        make('div', {}, pick, mute, make('button', { type: 'button', textContent: 'Its own music', onclick: () => { set({ swap: null }); video.focus(); } })));
      swapBox.hidden = false;
      say(`${me.title} with the music of ${other.title}`);
      await start(video);
    } catch (e) { if (mine === turn) say(`${other.title}: ${e.message}`); }
  }
  function unswap() { ++turn; music.pause(); swapped = null; swapBox.hidden = true; video.muted = false; if (playing) say('Its own music again'); }
  function sync() { // the music follows the picture: paused with it, sought with it, never more than 80 ms away
    if (!swapped) return;
    if (!video.muted) video.muted = true;
    const t = video.currentTime - swapped.a + swapped.b, out = t < 0 || t > music.duration;
    if (video.paused || video.seeking || out || video.readyState < 3) { if (!music.paused) music.pause(); calm = 0; return; }
    music.volume = video.volume; music.playbackRate = video.playbackRate;
    if (Math.abs(music.currentTime - t) > .08 && !music.seeking && performance.now() > calm) { music.currentTime = t; calm = performance.now() + 500; }
    if (music.paused) start(music);
  }
  for (const e of ['play', 'playing', 'pause', 'seeked', 'ratechange', 'volumechange', 'timeupdate', 'ended', 'waiting']) video.addEventListener(e, sync);
  const beat = setInterval(sync, 100);

  // -- neighbours
  async function neighbours() {
    const id = P.at.has(state.selected) ? state.selected : null, by = state.by;
    near = []; nearList.replaceChildren(); tabs.hidden = nearHead.hidden = !id; touch();
    tabs.replaceChildren(...Object.entries(SIDES).map(([k, t]) => make('button', { type: 'button', textContent: t, 'aria-pressed': String(k === by), onclick: () => { set({ by: k }); [...tabs.children].find(b => b.textContent === t)?.focus(); } })));
    if (!id) return;
    let m;
    try { m = await ask('near', { id, by }); } catch (e) { m = { rows: [], note: e.message }; }
    if (closed || id !== state.selected || by !== state.by) return;
    near = m.rows.filter(o => P.at.has(o.id));
    nearList.replaceChildren(...near.map(o => {
      const i = P.at.get(o.id), { title, artist } = P.item(i), moments = `${clock(o.at)} ↔ ${clock(o.start)}`;
      return make('li', {}, make('div', { title: `most alike: ${moments}` }, make('b', { textContent: title }), make('span', { className: 'mvx-soft', textContent: [o.score.toFixed(2), artist].filter(Boolean).join(' · ') })),
        make('button', { type: 'button', textContent: '▶', title: 'Play it', 'aria-label': `Play ${title}`, onclick: () => choose(i) }),
        make('button', { type: 'button', textContent: '⇄', title: 'Put its music under this picture', 'aria-label': `Put the music of ${title} under this picture`, disabled: !o.sound, onclick: () => set({ swap: { id: o.id, at: o.at, start: o.start } }) }));
    }));
    if (!near.length) nearList.append(make('li', { className: 'mvx-soft', textContent: m.note || 'None' }));
    root.dataset.near = near.map(o => o.id).join(' ');
    touch();
  }
  function choose(i) {
    const id = P.item(i).id;
    if (id === state.selected && !state.swap) open(i); else set({ selected: id, swap: null });
  }

  // -- state: whatever differs from what was done is done
  function apply() {
    const now = k => JSON.stringify(state[k] ?? null), fresh = (...ks) => { const c = ks.some(k => done[k] !== now(k)); for (const k of ks) done[k] = now(k); return c; };
    if (fresh('color', 'shown', 'text', 'lasso')) { colour.value = column().name; if (document.activeElement !== search) search.value = state.text || ''; refilter(); marked(); }
    if (level.value !== state.level) level.value = state.level;
    const chosen = fresh('selected'), i = P.at.get(state.selected);
    if (chosen) {
      marked();
      if (i !== undefined) { if (!state.swap) open(i); }
      else { ++turn; video.pause(); music.pause(); head.textContent = 'Choose a point'; about.textContent = 'Click a point and its clip plays, with its sound.'; }
    }
    let n = null;
    if (chosen | fresh('by')) n = neighbours();
    if (fresh('swap')) { if (state.swap) Promise.resolve(n).then(() => state.swap && swapTo(state.swap)); else if (!chosen) unswap(); }
    touch();
  }
  function reload() {
    P = unpack(model); state = model.get('state'); done = { by: null }; hover = -1; near = []; view = null; W = H = 0;
    video.pause(); music.pause(); swapped = null; swapBox.hidden = true;
    colour.replaceChildren(...P.info.columns.map(o => make('option', { value: o.name, textContent: o.name })));
    level.replaceChildren(...P.info.levels.map(o => make('option', { value: o, textContent: o === 'track' ? 'videos' : 'segments' })));
    level.parentElement.hidden = P.info.levels.length < 2; level.value = P.info.level;
    mask = new Uint8Array(P.n).fill(1); apply(); size();
  }

  // -- pointer and keys
  const spot = e => { const b = top.getBoundingClientRect(); return [(e.clientX - b.left) * W / b.width, (e.clientY - b.top) * H / b.height]; };
  const world = ([x, y]) => [(x - view.ox) / view.s, (view.oy - y) / view.s];
  function pick(p) {
    const [x, y] = world(p), far = Math.max(10 * dpr, radius() + 3) / view.s;
    let best = -1, least = far * far;
    for (let a = P.cellX(x - far); a <= P.cellX(x + far); a++) for (let k = P.first[a * P.G + P.cellY(y - far)]; k < P.first[a * P.G + P.cellY(y + far) + 1]; k++) {
      const i = P.order[k], d = (P.xy[2*i] - x) ** 2 + (P.xy[2*i+1] - y) ** 2;
      if (mask[i] && d <= least) { least = d; best = i; }
    }
    return best;
  }
  function point(i) { // hover, by pointer or by key
    if (i === hover) return;
    hover = i; tip.hidden = i < 0;
    if (i >= 0) {
      const o = P.item(i), [x, y] = px(i);
      tip.replaceChildren(o.title, make('span', { textContent: [o.artist, o.about].filter(Boolean).join(' · ') }));
      const b = map.getBoundingClientRect(), w = tip.offsetWidth, h = tip.offsetHeight;
      tip.style.transform = `translate(${clamp(x + 14, 4, Math.max(4, b.width - w - 4))}px, ${y + 14 + h > b.height ? Math.max(4, y - 14 - h) : y + 14}px)`;
    }
    touch();
  }
  let drag = null;
  top.addEventListener('pointerdown', e => {
    if (e.button) return;
    const p = spot(e);
    top.setPointerCapture(e.pointerId); drag = { p, ox: view.ox, oy: view.oy, moved: false };
    if (lassoing || e.shiftKey) draft = [world(p)];
  });
  top.addEventListener('pointermove', e => {
    const p = spot(e);
    if (!drag) return point(pick(p));
    if (Math.hypot(p[0] - drag.p[0], p[1] - drag.p[1]) > 4 * dpr) drag.moved = true;
    if (!drag.moved) return;
    point(-1);
    if (draft) { const q = world(p), l = draft[draft.length - 1]; if (Math.hypot(q[0] - l[0], q[1] - l[1]) * view.s > 3 * dpr && draft.length < 400) draft.push(q); touch(); }
    else { view.ox = drag.ox + p[0] - drag.p[0]; view.oy = drag.oy + p[1] - drag.p[1]; dirty(); }
  });
  const up = e => {
    if (!drag) return;
    const { moved } = drag, poly = draft;
    drag = draft = null;
    if (poly && moved && poly.length > 2) { setLasso(false); set({ lasso: poly.map(q => q.map(v => +v.toFixed(4))) }); }
    else if (!moved && e.type === 'pointerup') { const i = pick(spot(e)); if (i >= 0) choose(i); }
    touch();
  };
  top.addEventListener('pointerup', up); top.addEventListener('pointercancel', up);
  top.addEventListener('pointerleave', () => { if (!drag) point(-1); });
  top.addEventListener('wheel', e => { e.preventDefault(); e.stopPropagation(); zoom(Math.exp(-clamp(e.deltaY, -200, 200) * .0022), ...spot(e)); point(-1); }, { passive: false });
  function setLasso(on) { lassoing = on; lassoB.setAttribute('aria-pressed', String(on)); }
  function step(dx, dy) { // the nearest point that way, straight ahead counting more than aside
    let from = hover >= 0 ? hover : P.at.get(state.selected) ?? -1;
    if (from < 0) { if (shown.length) point(shown[0]); }
    else {
      let best = -1, least = Infinity;
      for (const i of shown) {
        const x = P.xy[2*i] - P.xy[2*from], y = P.xy[2*i+1] - P.xy[2*from+1], ahead = x * dx + y * dy, aside = Math.abs(x * dy - y * dx);
        if (ahead > 0 && ahead >= aside * .5 && ahead + 2 * aside < least) { least = ahead + 2 * aside; best = i; }
      }
      if (best < 0) return;
      point(best);
    }
    if (hover >= 0) { const o = P.item(hover); say([o.title, o.artist, o.about].filter(Boolean).join(', ')); const [x, y] = px(hover); if (x < 0 || y < 0 || x > W / dpr || y > H / dpr) { view.ox += W / 2 - x * dpr; view.oy += H / 2 - y * dpr; dirty(); } }
  }
  let round = { i: -1 };
  function encircle() { // a lasso by key: around the point, and wider with each press
    const i = hover >= 0 ? hover : P.at.get(state.selected) ?? -1;
    if (i < 0) return;
    round = { i, r: state.lasso && round.i === i ? round.r * 1.5 : 40 * dpr / view.s };
    set({ lasso: Array.from({ length: 24 }, (_, k) => [P.xy[2*i] + round.r * Math.cos(k * Math.PI / 12), P.xy[2*i+1] + round.r * Math.sin(k * Math.PI / 12)]) });
  }
  top.addEventListener('keydown', e => {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[e.key];
    if (way) step(...way);
    else if (e.key === 'Enter' || e.key === ' ') { const i = hover >= 0 ? hover : P.at.get(state.selected); if (i !== undefined && i >= 0) choose(i); }
    else if (e.key === '+' || e.key === '=') zoom(1.5); else if (e.key === '-') zoom(1 / 1.5); else if (e.key === '0') fit(); else if (e.key === 'l' || e.key === 'L') encircle();
    else return;
    e.preventDefault(); e.stopPropagation();
  });
  list.addEventListener('keydown', e => {
    const b = e.target.closest('button'), all = [...list.querySelectorAll('button')], k = all.indexOf(b) + ({ ArrowDown: 1, ArrowUp: -1 }[e.key] || 0);
    if (k !== all.indexOf(b) && all[k]) { all[k].focus(); e.preventDefault(); }
  });
  root.addEventListener('keydown', e => {
    if (['INPUT', 'SELECT'].includes(e.target.tagName) || e.key === 'Enter') e.stopPropagation(); // the notebook has keys of its own
    if (e.key !== 'Escape') return;
    e.stopPropagation();
    if (lassoing) setLasso(false);
    else if (state.swap) set({ swap: null });
    else if (state.lasso || state.text || state.shown) { search.value = ''; set({ lasso: null, text: '', shown: null }); }
    else if (state.selected) set({ selected: null, swap: null });
    point(-1);
  });
  search.addEventListener('input', () => set({ text: search.value }));
  colour.addEventListener('change', () => set({ color: colour.value, shown: null }));
  level.addEventListener('change', () => set({ level: level.value, selected: null, swap: null, lasso: null, shown: null }));
  lassoB.addEventListener('click', () => setLasso(!lassoing));
  reset.addEventListener('click', () => { search.value = ''; set({ lasso: null, text: '', shown: null }); fit(); });
  share.addEventListener('click', async () => {
    const text = model.link?.(state) ?? JSON.stringify(state);
    root.dataset.shared = text;
    try { await navigator.clipboard.writeText(text); say(model.link ? 'A link to this view is on the clipboard' : 'This view is on the clipboard, for Explorer.restore'); } catch { say(text); }
  });
  const onState = () => { const s = model.get('state'); if (s !== state) { state = s; apply(); } };
  model.on('msg:custom', heard); model.on('change:state', onState); model.on('change:info', reload);
  const watch = new ResizeObserver(() => size()), look = new MutationObserver(theme), media = matchMedia('(prefers-color-scheme: dark)');
  reload(); theme(); watch.observe(map); look.observe(document.body, { attributes: true, attributeFilter: ['class', 'data-jp-theme-light', 'data-vscode-theme-kind'] }); media.addEventListener('change', theme);
  root.mvx = { px: i => { const b = top.getBoundingClientRect(), [x, y] = px(i); return [b.left + x, b.top + y]; }, at: id => P.at.get(id), draw, zoom, video, music, get swapped() { return swapped; } };
  return () => {
    closed = true; clearInterval(beat); watch.disconnect(); look.disconnect(); media.removeEventListener('change', theme); cancelAnimationFrame(raf); cancelAnimationFrame(rafTop);
    model.off?.('msg:custom', heard); model.off?.('change:state', onState); model.off?.('change:info', reload);
    video.pause(); music.pause(); for (const u of urls.values()) URL.revokeObjectURL(u);
  };
}

// ---- without a kernel: a model that answers from what the page holds

function fragment(known) { // a view from the address, as far as it makes sense
  let s;
  try { s = JSON.parse(decodeURIComponent(location.hash.slice(1))); } catch { return {}; }
  const text = v => typeof v === 'string' ? v.slice(0, 500) : null, num = v => Number.isFinite(v) && v >= 0, out = {};
  if (!s || typeof s !== 'object') return out;
  if (known.levels.includes(s.level)) out.level = s.level;
  if (s.by in SIDES) out.by = s.by;
  for (const k of ['color', 'text', 'selected']) if (text(s[k]) !== null) out[k] = text(s[k]);
  if (Array.isArray(s.shown)) out.shown = s.shown.filter(o => typeof o === 'string').slice(0, 50);
  if (Array.isArray(s.lasso) && s.lasso.length <= 1000 && s.lasso.every(o => Array.isArray(o) && o.length === 2 && o.every(Number.isFinite))) out.lasso = s.lasso;
  if (s.swap && text(s.swap.id) !== null && num(s.swap.at) && num(s.swap.start)) out.swap = { id: text(s.swap.id), at: s.swap.at, start: s.swap.start };
  return out;
}

function mount(el, data, more) { // `more` gives what the first picture does not need
  const raw = s => { if (Uint8Array.fromBase64) return Uint8Array.fromBase64(s).buffer; const t = atob(s), out = new Uint8Array(t.length); for (let i = 0; i < t.length; i++) out[i] = t.charCodeAt(i); return out.buffer; };
  const levels = Object.keys(data.levels), calls = {}, ready = {}, known = {}, KINDS = { video: Uint32Array, from: Float32Array, who: Uint32Array, score: Int8Array, at: Uint16Array, start: Uint16Array };
  const open = l => ready[l] ||= Object.fromEntries(Object.entries(data.levels[l]).map(([k, v]) => [k, typeof v === 'string' && k !== 'text' ? raw(v) : v]));
  let state = { ...data.state, ...fragment({ levels }) }, at = state.level, held;
  const tell = (k, ...a) => (calls[k] || []).forEach(f => f(...a));
  const whole = new Promise(ok => document.readyState === 'loading' ? addEventListener('DOMContentLoaded', ok, { once: true }) : ok());
  function know(l) { // ids, videos and neighbours of a level
    if (known[l]) return known[l];
    held ||= more();
    const d = known[l] = { names: open(l).text.split('\n').map(o => o.slice(0, o.indexOf('\t'))), k: held.levels[l].k };
    for (const [k, T] of Object.entries(KINDS)) d[k] = new T(raw(held.levels[l][k]));
    d.ids = new Map(d.names.map((o, i) => [o, i]));
    return d;
  }
  const film = (d, i) => { const [file, sound, length, starts, clips] = held.media[d.video[i]]; return { file, sound: !!sound, length, starts, clips: clips || starts }; };
  const clipAt = (d, i, t) => { // the clip that holds a moment; of those that could be cut
    const m = film(d, i), from = t ?? d.from[i] ?? m.starts[m.starts.length >> 1];
    let c = -1;
    m.clips.forEach((s, j) => { if (s !== null && (c < 0 || s <= from + .01)) c = j; });
    return c < 0 ? { error: 'this page has no clip of it' } : { url: `media/${m.file}-${c}.mp4`, offset: clamp(from - m.clips[c], 0, m.length) };
  };
  const answer = (d, m) => {
    const i = d.ids.get(m.id);
    if (m.kind === 'clip') return i === undefined ? { error: 'this page has no clip of it' } : clipAt(d, i, m.at);
    const rows = [], b = Object.keys(SIDES).indexOf(m.by);
    if (i !== undefined) for (let j = (b * d.names.length + i) * d.k; j < (b * d.names.length + i + 1) * d.k; j++) {
      const o = d.who[j];
      if (o === 0xffffffff) break;
      const a = film(d, i), v = film(d, o);
      rows.push({ id: d.names[o], score: d.score[j] / 100, at: d.from.length ? d.from[i] : a.starts[d.at[j]], start: d.from.length ? d.from[o] : v.starts[d.start[j]], starts: v.starts, sound: v.sound });
    }
    return { rows, note: rows.length ? '' : 'None: nothing to compare by' };
  };
  const model = {
    get: k => k === 'state' ? state : open(at)[k],
    set: (k, v) => { state = v; if (v.level !== at) { at = v.level; tell('change:info'); } },
    save_changes: () => history.replaceState(null, '', '#' + encodeURIComponent(JSON.stringify(state))),
    on: (k, f) => (calls[k] ||= []).push(f),
    off: (k, f) => { calls[k] = (calls[k] || []).filter(o => o !== f); },
    send: async m => { // from a server the clip is fetched whole, because not every server can be sought in; from a disk it is opened in place
      const l = at;
      await whole;
      const a = { kind: 'answer', key: m.key, ...answer(know(l), m) };
      let bufs;
      if (a.url && location.protocol !== 'file:') try { const r = await fetch(a.url); if (!r.ok) throw r; bufs = [await r.arrayBuffer()]; a.file = a.url; } catch { a.error = 'the clip did not arrive'; }
      tell('msg:custom', a, bufs);
    },
    link: s => location.href.split('#')[0] + '#' + encodeURIComponent(JSON.stringify(s)),
  };
  addEventListener('hashchange', () => { state = { ...data.state, ...fragment({ levels }) }; at = state.level; tell('change:info'); });
  return render({ model, el });
}

export default { render };
export { mount };
