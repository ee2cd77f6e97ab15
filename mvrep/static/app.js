'use strict'
const $ = id => document.getElementById(id)
const player = $('player'), soundtrack = $('soundtrack'), list = $('list')
const clock = s => `${Math.floor(s/60)}:${String(Math.floor(s%60)).padStart(2, '0')}`
const neighbourCount = n => n === 1 ? '1 neighbour' : `${n} neighbours`
const url = o => o.src || `/media?${new URLSearchParams({id: o.id})}`
const line = o => [o.artist, o.genre, o.mood, o.release_date && o.release_date.slice(0, 4)].filter(Boolean).join(' · ')
let seed = null      // the video that is shown: one of the index, or an uploaded file
let swap = null      // {video, audio, at, from}: whose video, whose audio, and the two moments that coincide
let asked = 0        // number of the last request: older answers are not shown
let uploaded = 0     // number of the last upload or selection: older uploads are not shown

const say = (text, kind = '') => { $('status').textContent = text; $('status').className = kind }
const make = (tag, text, cls) => {
  const e = document.createElement(tag)
  if (text) e.textContent = text
  if (cls) e.className = cls
  return e
}

const busy = 'mvrep is busy: try again in a moment' // for answers of the server that have no sentence
const reasons = {
  408: 'the file did not arrive in time: send it again', 413: 'the file is too large', 429: busy, 503: busy}
async function get(path, params, options) {
  const r = await fetch(params ? `${path}?${new URLSearchParams(params)}` : path, options)
  const o = await r.json().catch(() => ({error: reasons[r.status] || `the answer was ${r.status}`}))
  if (!r.ok) throw new Error(o.error)
  return o
}
const noAnswer = e => e.message === 'Failed to fetch'
const tell = e => say(noAnswer(e) ? 'mvrep does not answer: is it still running?' : e.message, 'wrong')

// ---- text search

const item = o => {
  const li = make('li'), b = make('button', o.title)
  b.type = 'button'
  b.append(make('small', line(o)))
  if (o.why) b.append(make('small', o.why))
  b.addEventListener('click', e => { $('found').hidden = true; select(o, true); moveOn(e) })
  li.append(b)
  return li
}
let typed, moved     // timers: the search box, the sliders
$('q').addEventListener('input', () => { clearTimeout(typed); typed = setTimeout(search, 120) })
async function search() {
  const q = $('q').value.trim()
  if (!q) { $('found').hidden = true; return }
  try {
    const r = await get('/api/videos', {q})
    if ($('q').value.trim() !== q) return
    $('found').replaceChildren(...(r.videos.length ? r.videos.map(item) : [make('li', 'No video matches')]))
    $('found').hidden = false
    say([r.videos.length ? `${r.n} found` : `no video matches '${q}'`, ...r.notes].join('; '))
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

// ---- the selected video and its neighbours

const isShown = o => seed && (o.upload ? o.upload === seed.upload : o.id === seed.id && !seed.upload)
function select(o, play) { // a new entry of the history, which Back leaves again
  const how = isShown(o) ? 'replaceState' : 'pushState'
  show(o, play)
  remember(how)
}

function show(o, play) {
  seed = o
  uploaded++
  $('welcome').hidden = true
  $('main').hidden = false
  $('title').textContent = o.title
  $('about').textContent = line(o)
  document.title = `${o.title} – mvrep`
  $('weight').disabled = o.has_audio === false || o.has_video === false // nothing to weight
  $('texts').hidden = o.has_text === undefined // an index without text, or a dropped file
  $('text').disabled = !o.has_text
  own(play)
  neighbours()
}

const weights = () => { // the text slider divides between text and the rest, as the weight does the rest
  const audio = $('weight').disabled ? .5 : +$('weight').value // disabled: the video lacks one of the two
  const text = +$('text').value, rest = 1-text
  if (!seed.has_text || $('text').value === sliders.text) return {weight: audio}
  return {weights: `audio=${audio*rest},video=${(1-audio)*rest},text=${text}`}
}

async function neighbours() {
  const n = ++asked
  list.classList.add('old')
  try {
    const who = seed.upload ? {upload: seed.upload} : {id: seed.id}
    const r = await get('/api/similar', {...who, ...weights(), diversity: $('diversity').value})
    if (n !== asked) return
    list.replaceChildren(...r.results.map(card))
    const none = 'no video matches: no other video of the index can be compared with it'
    say(r.results.length ? neighbourCount(r.results.length) : none)
  } catch (e) { if (n === asked) { list.replaceChildren(); tell(e) } }
  list.classList.remove('old')
}

function welcome() { // no video is selected
  seed = null
  asked++
  uploaded++
  turn++
  swap = null
  for (const v of [player, soundtrack]) { v.pause(); v.removeAttribute('src'); v.load() }
  list.replaceChildren()
  $('main').hidden = true
  $('welcome').hidden = false
  document.title = 'mvrep'
  say('')
}

// ---- history: the address holds the selected video and the sliders, an entry also the words that were searched

const files = new Map() // files that were dropped, by the name under which the app keeps them
const sliders = {weight: '0.5', text: '0.33', diversity: '0'} // as they are at first; 0.33 is a third
let restored = 0     // number of the last restored entry

function remember(how) {
  const p = new URLSearchParams(seed && !seed.upload ? {id: seed.id} : {})
  for (const [name, first] of Object.entries(sliders)) if ($(name).value !== first) p.set(name, $(name).value)
  history[how]({upload: seed?.upload, q: $('q').value}, '', `${location.pathname}#${p}`)
}

async function restore() { // what the current entry of the history shows
  const n = ++restored, p = new URLSearchParams(location.hash.slice(1)), id = p.get('id')
  const {upload, q} = history.state || {}
  const isNumber = text => text && Number.isFinite(+text)
  for (const [name, first] of Object.entries(sliders)) $(name).value = isNumber(p.get(name)) ? p.get(name) : first
  $('q').value = q || ''
  $('found').hidden = true
  if (files.has(upload)) { show(files.get(upload), false); return }
  if (!id) {
    welcome()
    if (upload) say('a dropped file is gone after the page was loaded again: drop it again', 'wrong')
    return
  }
  try {
    const o = await get('/api/video', {id})
    if (n === restored) show(o, false)
  } catch (e) { if (n === restored) { welcome(); tell(e) } }
}
addEventListener('popstate', restore)

// ---- the cards of the neighbours

async function cause(o, at) { // show why a video does not play
  const no = 'This browser cannot play the file'
  const reason = async r => r.ok ? no : (await r.json()).error
  at.textContent = o.src ? no : await fetch(url(o), {headers: {Range: 'bytes=0-0'}}).then(reason).catch(() => no)
  at.hidden = false
}

const copies = o => [o.same_recording && 'same recording',
  o.copies && (o.copies === 1 ? '+1 copy' : `+${o.copies} copies`)].filter(Boolean).join(', ')

function card(o) {
  const li = $('card').content.cloneNode(true).firstElementChild, part = s => li.querySelector(s)
  const timed = o.reasons.filter(w => w.modality !== 'text') // a text has no moments
  const v = part('video'), best = timed[0], at = best ? best.start : 0
  v.src = `${url(o)}#t=${at}`
  v.setAttribute('aria-label', o.title)
  v.addEventListener('error', () => { cause(o, part('.gone')); part('.reasons').hidden = part('.swap').hidden = true })
  part('.name').textContent = o.title
  part('.name').title = 'Find similar videos'
  part('.name').addEventListener('click', e => { select(o, true); moveOn(e); scrollTo({top: 0, behavior: 'smooth'}) })
  part('.by').textContent = line(o)
  part('.copies').textContent = copies(o)
  part('.bar i').style.width = `${100*Math.max(0, o.score)}%`
  const scores = [['♪', o.audio], ['▦', o.video], ['¶', o.text ?? null]].filter(([, score]) => score !== null)
  part('.scores').textContent = scores.map(([sign, score]) => `${sign} ${score.toFixed(2)}`).join('  ')
  if (o.has_audio !== o.has_video) part('.scores').textContent += o.has_audio ? '  no video' : '  no audio'
  for (const w of timed) {
    const b = make('button', `${w.modality === 'audio' ? '♪' : '▦'} ${clock(w.seed_start)} ↔ ${clock(w.start)}`)
    b.type = 'button'
    b.title = `Most similar by ${w.modality} (${w.score.toFixed(2)}): play this moment of both videos in turn`
    b.addEventListener('click', () => moments(w, v))
    part('.reasons').append(b)
  }
  const [a, b] = best ? [best.seed_start, best.start] : [0, 0]
  part('.take-audio').hidden = !(o.has_audio && seed.has_video)
  part('.take-video').hidden = !(o.has_video && seed.has_audio)
  part('.take-audio').addEventListener('click', () => exchange({video: seed, audio: o, at: a, from: b}))
  part('.take-video').addEventListener('click', () => exchange({video: o, audio: seed, at: b, from: a}))
  return li
}

const seek = (v, t) => new Promise((done, no) => {
  const go = () => { v.addEventListener('seeked', done, {once: true}); v.currentTime = t }
  const failed = () => no(new Error('this browser cannot play the file'))
  if (v.error) { failed(); return }
  v.addEventListener('error', failed, {once: true})
  v.readyState ? go() : v.addEventListener('loadedmetadata', go, {once: true})
})
let turn = 0         // number of the last playback: older ones stop
function part(v, from, length, mine) { // play it; true at its end, false if it was stopped before
  const end = Math.min(from+length, v.duration)-.05
  return new Promise(done => {
    const check = () => {
      const over = v.ended || v.currentTime >= end
      if (mine === turn && !over && !v.paused) return
      for (const e of ['timeupdate', 'pause', 'ended']) v.removeEventListener(e, check)
      if (mine === turn) v.pause()
      done(mine === turn && over)
    }
    const watch = () => { for (const e of ['timeupdate', 'pause', 'ended']) v.addEventListener(e, check) }
    v.play().then(watch, () => done(false))
  })
}
const reveal = v => v.scrollIntoView({block: 'nearest', behavior: 'smooth'})
async function moments(w, v) {
  own(false)
  const mine = turn
  player.pause()
  try { await Promise.all([seek(v, w.start), seek(player, w.seed_start)]) }
  catch (e) { if (mine === turn) tell(e); return }
  if (mine !== turn) return
  reveal(player)
  if (await part(player, w.seed_start, w.length, mine)) { reveal(v); part(v, w.start, w.length, mine) }
}

for (const o of Object.keys(sliders)) $(o).addEventListener('input', () => {
  clearTimeout(moved)
  moved = setTimeout(() => { remember('replaceState'); if (seed) neighbours() }, 150)
})

// ---- the video of one with the audio of another

function load(v, o) {
  const u = new URL(url(o), location).href
  if (v.src === u) return
  v.src = u
  if (v === player) $('unplayed').hidden = true
}
player.addEventListener('error', () => seed && cause(swap ? swap.video : seed, $('unplayed')))

function own(play) {
  turn++
  swap = null
  $('swapped').hidden = true
  soundtrack.pause()
  soundtrack.removeAttribute('src')
  player.muted = false
  load(player, seed)
  if (play) player.play().catch(() => {})
}

async function exchange(o) {
  turn++
  swap = o
  player.pause() // until both are at their moments: a key pressed meanwhile is not undone
  load(player, o.video)
  load(soundtrack, o.audio)
  player.muted = true
  $('pair').textContent = `Video: ${o.video.title}. Audio: ${o.audio.title}.`
  $('swapped').hidden = false
  say(`the video of ${o.video.title} with the audio of ${o.audio.title}`)
  try {
    await Promise.all([seek(player, o.at), seek(soundtrack, o.from)])
    if (swap === o) await player.play()
  } catch (e) { if (swap === o && e.name !== 'AbortError') { own(false); tell(e) } }
  $('stage').scrollIntoView({block: 'nearest', behavior: 'smooth'})
}
const wanted = () => player.currentTime-swap.at+swap.from
function sync() {
  if (!swap) return
  const t = wanted(), there = t >= 0 && !(t >= soundtrack.duration)
  if (!there || player.paused) { soundtrack.pause(); return }
  if (Math.abs(soundtrack.currentTime-t) > .12) soundtrack.currentTime = t
  if (soundtrack.paused && soundtrack.readyState > 1)
    soundtrack.play().catch(e => { if (e.name !== 'AbortError') tell(e) })
}
for (const e of ['play', 'playing', 'pause', 'seeked', 'timeupdate', 'waiting', 'ended'])
  player.addEventListener(e, sync)
soundtrack.addEventListener('canplay', sync)
player.addEventListener('ratechange', () => { soundtrack.playbackRate = player.playbackRate })
player.addEventListener('volumechange', () => {
  if (!swap) return
  soundtrack.volume = player.volume
  if (!player.muted) player.muted = true
})
$('back').addEventListener('click', () => own(true))
$('turn').addEventListener('click', () =>
  swap && exchange({video: swap.audio, audio: swap.video, at: swap.from, from: swap.at}))
document.addEventListener('play', e => { // one at a time; the soundtrack belongs to the player
  if (e.target !== soundtrack) for (const v of document.querySelectorAll('video')) if (v !== e.target) v.pause()
}, true)

// ---- uploads

async function upload(file) {
  const n = ++uploaded
  say(`encoding ${file.name} …`, 'busy')
  try {
    const r = await get('/api/upload', null, {method: 'POST', body: file})
    if (n !== uploaded) return
    files.set(r.upload, {title: file.name, src: URL.createObjectURL(file), ...r})
    select(files.get(r.upload), true)
  } catch (e) {
    if (n === uploaded) tell(noAnswer(e) ? new Error(`${file.name} could not be sent: it may be too large`) : e)
  }
}
$('open').addEventListener('click', () => $('file').click())
$('file').addEventListener('change', () => { if ($('file').files[0]) upload($('file').files[0]); $('file').value = '' })
let over = 0
addEventListener('dragenter', e => { e.preventDefault(); over++; $('drop').hidden = false })
addEventListener('dragleave', () => { if (--over <= 0) { over = 0; $('drop').hidden = true } })
addEventListener('dragover', e => e.preventDefault())
addEventListener('drop', e => {
  e.preventDefault()
  over = 0
  $('drop').hidden = true
  if (e.dataTransfer.files[0]) upload(e.dataTransfer.files[0])
})

// ---- keys, and the first request

const isText = e => e.closest('input:not([type=range]), textarea, select, [contenteditable]')
addEventListener('keydown', e => {
  if (e.defaultPrevented || e.isComposing || e.ctrlKey || e.metaKey || e.altKey || isText(e.target)) return
  if (document.querySelector('dialog[open]')) return
  if (e.key === '/') { e.preventDefault(); $('q').focus(); $('q').select() }
  if (e.key === 's' && swap && !e.repeat) own(true)
  if (e.key !== ' ' || !seed || e.target.closest('button, video')) return // these use the key themselves
  e.preventDefault()
  if (!e.repeat) player.paused ? player.play().catch(() => {}) : player.pause()
})
addEventListener('click', e => { // a button that was clicked, not reached by keys, leaves the keys to the page
  if (e.detail && e.target.closest('button')) document.activeElement?.blur()
})
const moveOn = e => { if (!e.detail) $('title').focus({preventScroll: true}) } // chosen by keys: the list is replaced
async function begin() {
  try {
    const r = await get('/api/videos', {q: ''})
    $('count').textContent = `${r.n.toLocaleString('en')} ${r.n === 1 ? 'video' : 'videos'}`
    $('examples').replaceChildren(...r.videos.slice(0, 12).map(item))
    if (!seed && !uploaded) await restore()
  } catch (e) { tell(e) }
}
begin()
