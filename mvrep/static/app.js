'use strict'
const $ = id => document.getElementById(id)
const picture = $('picture'), sound = $('sound'), list = $('list')
const clock = s => `${Math.floor(s/60)}:${String(Math.floor(s%60)).padStart(2, '0')}`
const url = o => o.src || `/media?${new URLSearchParams({id: o.id})}`
const line = o => [o.artist, o.genre, o.mood, o.release_date && o.release_date.slice(0, 4)].filter(Boolean).join(' · ')
let seed = null      // what is looked at: a video of the index, or a file that was dropped
let swap = null      // {picture, sound, at, from}: whose picture, whose sound, and the two moments that are one
let asked = 0        // answers that come late are not shown
let brought = 0      // nor files that are ready when something else is looked at

const say = (text, kind = '') => { $('status').textContent = text; $('status').className = kind }
const make = (tag, text, cls) => { const e = document.createElement(tag); if (text) e.textContent = text; if (cls) e.className = cls; return e }

async function get(path, params, options) {
  const r = await fetch(params ? `${path}?${new URLSearchParams(params)}` : path, options)
  const o = await r.json().catch(() => ({error: `the answer was ${r.status}`}))
  if (!r.ok) throw new Error(o.error)
  return o
}
const tell = e => say(e.message === 'Failed to fetch' ? 'mvrep does not answer: is it still running?' : e.message, 'wrong')

// ---- searching by text

const item = o => {
  const li = make('li'), b = make('button', o.title)
  b.type = 'button'
  b.append(make('small', line(o)))
  b.addEventListener('click', () => { $('found').hidden = true; look(o, true) })
  li.append(b)
  return li
}
let typed
$('q').addEventListener('input', () => { clearTimeout(typed); typed = setTimeout(search, 120) })
async function search() {
  const q = $('q').value.trim()
  if (!q) { $('found').hidden = true; return }
  try {
    const r = await get('/api/videos', {q})
    if ($('q').value.trim() !== q) return
    $('found').replaceChildren(...(r.videos.length ? r.videos.map(item) : [make('p', 'Nothing of that name')]))
    $('found').hidden = false
    say(r.videos.length ? `${r.n} found` : 'nothing found')
  } catch (e) { tell(e) }
}
document.querySelector('search').addEventListener('keydown', e => {
  const all = [$('q'), ...$('found').querySelectorAll('button')], i = all.indexOf(document.activeElement)
  if (e.key === 'ArrowDown' && !$('found').hidden) { e.preventDefault(); all[Math.min(i+1, all.length-1)].focus() }
  if (e.key === 'ArrowUp') { e.preventDefault(); all[Math.max(i-1, 0)].focus() }
  if (e.key === 'Enter' && i === 0 && all[1]) all[1].click()
  if (e.key === 'Escape') { $('found').hidden = true; $('q').focus() }
})
document.addEventListener('click', e => { if (!e.target.closest('search')) $('found').hidden = true })

// ---- the video that is looked at, and its neighbours

function look(o, play) {
  if (seed && seed.src && seed.src !== o.src) URL.revokeObjectURL(seed.src)
  seed = o
  brought++
  $('welcome').hidden = true
  $('main').hidden = false
  $('title').textContent = o.title
  $('about').textContent = line(o)
  document.title = `${o.title} – mvrep`
  if (!o.drop) history.replaceState(null, '', `#${new URLSearchParams({id: o.id})}`)
  own(play)
  neighbours()
}

async function neighbours() {
  const n = ++asked
  list.classList.add('old')
  try {
    const who = seed.drop ? {drop: seed.drop} : {id: seed.id}
    const r = await get('/api/similar', {...who, weight: $('weight').value, diversity: $('diversity').value})
    if (n !== asked) return
    list.replaceChildren(...r.results.map(card))
    say(r.results.length ? `${r.results.length} neighbours` : 'nothing to compare with')
  } catch (e) { if (n === asked) { list.replaceChildren(); tell(e) } }
  list.classList.remove('old')
}

async function cause(o, at) { // says why it does not play
  const no = 'This browser cannot play it'
  at.textContent = o.src ? no : await fetch(url(o), {headers: {Range: 'bytes=0-0'}}).then(async r => r.ok ? no : (await r.json()).error).catch(() => 'It cannot be played')
  at.hidden = false
}

function card(o) {
  const li = $('card').content.cloneNode(true).firstElementChild, part = s => li.querySelector(s)
  const v = part('video'), best = o.why[0], at = best ? best.start : 0
  v.src = `${url(o)}#t=${at}`
  v.setAttribute('aria-label', o.title)
  v.addEventListener('error', () => { cause(o, part('.gone')); part('.why').hidden = part('.swap').hidden = true })
  part('.name').textContent = o.title
  part('.name').title = 'More like this one'
  part('.name').addEventListener('click', () => { look(o, true); scrollTo({top: 0, behavior: 'smooth'}) })
  part('.by').textContent = line(o)
  part('.bar i').style.width = `${100*Math.max(0, o.score)}%`
  part('.said').textContent = [o.audio !== null && `♪ ${o.audio.toFixed(2)}`, o.video !== null && `▦ ${o.video.toFixed(2)}`].filter(Boolean).join('  ')
  for (const w of o.why) {
    const b = make('button', `${w.side === 'audio' ? '♪' : '▦'} ${clock(w.seed_start)} ↔ ${clock(w.start)}`)
    b.type = 'button'
    b.title = `Most alike in ${w.side === 'audio' ? 'sound' : 'picture'} (${w.score.toFixed(2)}): play this moment of both, one after the other`
    b.addEventListener('click', () => moments(w, v))
    part('.why').append(b)
  }
  const [a, b] = best ? [best.seed_start, best.start] : [0, 0]
  part('.take-sound').hidden = !(o.has_sound && seed.has_picture)
  part('.take-picture').hidden = !(o.has_picture && seed.has_sound)
  part('.take-sound').addEventListener('click', () => exchange({picture: seed, sound: o, at: a, from: b}))
  part('.take-picture').addEventListener('click', () => exchange({picture: o, sound: seed, at: b, from: a}))
  return li
}

const seek = (v, t) => new Promise((done, no) => {
  const go = () => { v.addEventListener('seeked', done, {once: true}); v.currentTime = t }
  const failed = () => no(new Error('it cannot be played here'))
  if (v.error) { failed(); return }
  v.addEventListener('error', failed, {once: true})
  v.readyState ? go() : v.addEventListener('loadedmetadata', go, {once: true})
})
let turn = 0         // what was begun last: what was begun before stops
function part(v, from, length, mine) { // plays it; true at its end, false if it was stopped before
  const end = Math.min(from+length, v.duration)-.05
  return new Promise(done => {
    const look = () => {
      const over = v.ended || v.currentTime >= end
      if (mine === turn && !over && !v.paused) return
      for (const e of ['timeupdate', 'pause', 'ended']) v.removeEventListener(e, look)
      if (mine === turn) v.pause()
      done(mine === turn && over)
    }
    v.play().then(() => { for (const e of ['timeupdate', 'pause', 'ended']) v.addEventListener(e, look) }, () => done(false))
  })
}
async function moments(w, v) {
  own(false)
  const mine = turn
  picture.pause()
  try { await Promise.all([seek(v, w.start), seek(picture, w.seed_start)]) } catch (e) { if (mine === turn) tell(e); return }
  if (mine === turn && await part(picture, w.seed_start, w.length, mine)) part(v, w.start, w.length, mine)
}

for (const o of ['weight', 'diversity']) $(o).addEventListener('input', () => { clearTimeout(typed); typed = setTimeout(() => seed && neighbours(), 150) })

// ---- one's picture with another's sound

function load(v, o) { const u = new URL(url(o), location).href; if (v.src === u) return; v.src = u; if (v === picture) $('unplayed').hidden = true }
picture.addEventListener('error', () => cause(swap ? swap.picture : seed, $('unplayed')))

function own(play) {
  turn++
  swap = null
  $('swapped').hidden = true
  sound.pause()
  sound.removeAttribute('src')
  picture.muted = false
  load(picture, seed)
  if (play) picture.play().catch(() => {})
}

async function exchange(o) {
  turn++
  swap = o
  load(picture, o.picture)
  load(sound, o.sound)
  picture.muted = true
  $('pair').textContent = `Picture: ${o.picture.title}. Sound: ${o.sound.title}.`
  $('swapped').hidden = false
  say(`the picture of ${o.picture.title} with the sound of ${o.sound.title}`)
  try {
    await Promise.all([seek(picture, o.at), seek(sound, o.from)])
    if (swap === o) await picture.play()
  } catch (e) { if (swap === o && e.name !== 'AbortError') { own(false); tell(e) } }
  $('stage').scrollIntoView({block: 'nearest', behavior: 'smooth'})
}
const wanted = () => picture.currentTime-swap.at+swap.from
function sync() {
  if (!swap) return
  const t = wanted(), there = t >= 0 && !(t >= sound.duration)
  if (!there || picture.paused) { sound.pause(); return }
  if (Math.abs(sound.currentTime-t) > .12) sound.currentTime = t
  if (sound.paused && sound.readyState > 1) sound.play().catch(e => { if (e.name !== 'AbortError') tell(e) })
}
for (const e of ['play', 'playing', 'pause', 'seeked', 'timeupdate', 'waiting', 'ended']) picture.addEventListener(e, sync)
sound.addEventListener('canplay', sync)
picture.addEventListener('ratechange', () => { sound.playbackRate = picture.playbackRate })
picture.addEventListener('volumechange', () => { if (swap) { sound.volume = picture.volume; if (!picture.muted) picture.muted = true } })
$('back').addEventListener('click', () => own(true))
$('turn').addEventListener('click', () => swap && exchange({picture: swap.sound, sound: swap.picture, at: swap.from, from: swap.at}))
document.addEventListener('play', e => { // one at a time; what #sound plays belongs to the picture
  if (e.target !== sound) for (const v of document.querySelectorAll('video')) if (v !== e.target) v.pause()
}, true)

// ---- a file from outside

async function bring(file) {
  const n = ++brought
  say(`listening to ${file.name} and looking at it …`, 'busy')
  try {
    const r = await get('/api/drop', null, {method: 'POST', body: file})
    if (n === brought) look({title: file.name, src: URL.createObjectURL(file), ...r}, true)
  } catch (e) { if (n === brought) tell(e.message === 'Failed to fetch' ? new Error(`${file.name} could not be sent: it may be too large`) : e) }
}
$('open').addEventListener('click', () => $('file').click())
$('file').addEventListener('change', () => { if ($('file').files[0]) bring($('file').files[0]); $('file').value = '' })
let over = 0
addEventListener('dragenter', e => { e.preventDefault(); over++; $('drop').hidden = false })
addEventListener('dragleave', () => { if (--over <= 0) { over = 0; $('drop').hidden = true } })
addEventListener('dragover', e => e.preventDefault())
addEventListener('drop', e => { e.preventDefault(); over = 0; $('drop').hidden = true; if (e.dataTransfer.files[0]) bring(e.dataTransfer.files[0]) })

// ---- keys, and the beginning

addEventListener('keydown', e => {
  if (e.target.closest('input, button, video') || e.ctrlKey || e.metaKey || e.altKey) return
  if (e.key === '/') { e.preventDefault(); $('q').focus(); $('q').select() }
  if (e.key === ' ' && seed) { e.preventDefault(); picture.paused ? picture.play() : picture.pause() }
  if (e.key === 's' && swap) own(true)
})
async function begin() {
  try {
    const r = await get('/api/videos', {q: ''}), id = new URLSearchParams(location.hash.slice(1)).get('id')
    $('count').textContent = `${r.n.toLocaleString('en')} videos`
    $('some').replaceChildren(...r.videos.slice(0, 12).map(item))
    if (id) look((await get('/api/video', {id})), false)
  } catch (e) { tell(e) }
}
begin()
