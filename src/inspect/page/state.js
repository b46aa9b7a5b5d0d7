// What the page knows, and its conversation with the proxy. Nothing here draws.

import { signal } from './signal.js';
import { speak, t } from './text.js';

const SHOWN = 500;

/** `connecting`, `live`, `paused`, `ended` or `unauthorized`. */
export const link = signal('connecting');
export const proxy = signal(null);
export const rows = signal([]);
export const filter = signal('');
export const filterError = signal(null);
export const selected = signal(null);
export const tab = signal('why');
export const detail = signal(null);
/** A message to the reader: `{text, hint, isError}`. */
export const notice = signal(null);
/** The open dialog: `{kind, …}`. */
export const dialog = signal(null);

const sleep = (ms) => new Promise((done) => { setTimeout(done, ms); });

export const complain = (error) => {
  if (link.value !== 'unauthorized') notice.value = { text: error.message, hint: error.hint, isError: true };
};

// ---- What survives a reload: the reader's settings, the token, the fragment ----

/** `keys`: single-key shortcuts. `theme`: `auto`, `light` or `dark`. */
export const settings = signal({ keys: true, theme: 'auto', ...JSON.parse(localStorage.getItem('settings') ?? '{}') });

export function set(change) {
  settings.value = { ...settings.value, ...change };
  localStorage.setItem('settings', JSON.stringify(settings.value));
  applySettings();
}

export function applySettings() {
  const { theme, language } = settings.value;
  const wanted = language ?? new URLSearchParams(location.search).get('lang') ?? navigator.language;
  speak(wanted.startsWith('zh') ? 'zh' : 'en');
  document.documentElement.dataset.theme = theme;
}

export function readFragment() {
  const parts = new URLSearchParams(location.hash.slice(1));
  if (parts.has('t')) {
    // The token leaves the address at once: addresses are copied, shown, and kept in the history.
    sessionStorage.setItem('token', parts.get('t'));
    parts.delete('t');
    history.replaceState(null, '', `#${parts}`);
  }
  filter.value = parts.get('filter') ?? '';
  tab.value = parts.get('tab') ?? 'why';
  choose(parts.get('id'));
}

function writeFragment(isStep) {
  const parts = { id: selected.value, tab: selected.value && tab.value, filter: filter.value };
  const given = new URLSearchParams(Object.entries(parts).filter(([, value]) => value));
  history[isStep ? 'pushState' : 'replaceState'](null, '', `#${given}`);
}

// ---- Requests to the proxy ----

export async function call(path, { body, ...options } = {}) {
  if (body) Object.assign(options, { method: 'POST', body: JSON.stringify(body) });
  const headers = { authorization: `Bearer ${sessionStorage.getItem('token')}`, ...(body && { 'content-type': 'application/json' }) };
  const response = await fetch(`v1/${path}`, { headers, credentials: 'omit', cache: 'no-store', ...options });
  if (response.ok) return response;
  if (response.status === 401) link.value = 'unauthorized';
  const { error } = await response.json().catch(() => ({}));
  throw Object.assign(new Error(error?.message ?? `HTTP ${response.status}`), { status: response.status, ...error });
}

const json = async (path, options) => (await call(path, options)).json();
const query = (more) => new URLSearchParams({ filter: filter.value, limit: SHOWN, ...more });

// ---- The list ----

const kept = new Map();
const unsure = new Set();
let seen = 0; // up to here, `kept` agrees with the filter
let isRefining = false;

/** WebSockets and event streams stay on top while they are open. */
function arrange() {
  const isOnTop = (row) => Number(row.kind != null && row.state !== 'done');
  const all = [...kept.values()].sort((a, b) => isOnTop(b) - isOnTop(a) || b.number - a.number);
  for (const row of all.splice(SHOWN)) kept.delete(row.id);
  rows.value = all;
}

function put(summaries) {
  for (const row of summaries) if (!(kept.get(row.id)?.seq > row.seq)) kept.set(row.id, row);
  if (summaries.some((row) => row.id === selected.value)) loadDetail();
}

/** The rows that match, of those that changed after `after`. Nothing if the filter is another one by now. */
async function ask(after) {
  const asked = filter.value;
  const { seq, requests } = await json(`requests?${query({ after })}`);
  if (asked !== filter.value) return null;
  seen = seq;
  return requests;
}

async function loadList() {
  try {
    const found = await ask(0);
    if (!found) return;
    kept.clear();
    filterError.value = null;
    put(found);
    arrange();
  } catch (error) {
    if (error.status !== 400) throw error;
    filterError.value = error;
  }
}

export function setFilter(text) {
  filter.value = text;
  writeFragment(false);
  loadList().catch(complain);
}

/** The proxy alone reads filters: rows that changed are asked for again, and leave if they no longer match. */
async function refine() {
  if (isRefining) return;
  isRefining = true;
  for (; unsure.size && !filterError.value; await sleep(300)) {
    const ids = [...unsure];
    unsure.clear();
    const found = await ask(seen).catch(() => null);
    if (!found) continue;
    for (const id of ids) if (!found.some((row) => row.id === id)) kept.delete(id);
    put(found);
    arrange();
  }
  isRefining = false;
}

function apply({ event, id, data }) {
  if (event === 'state') proxy.value = data;
  else if (event === 'evicted') for (const gone of data) kept.delete(gone);
  else if (event === 'cleared') kept.clear();
  else if (filter.value) {
    for (const row of data) if (row.seq > seen) unsure.add(row.id);
    put(data.filter((row) => kept.has(row.id)));
    refine();
  } else {
    seen = id;
    put(data);
  }
  arrange();
}

// ---- The feed ----

let current = new AbortController();

/** The events of a stream until it ends. A silence of 40 s ends it too: the proxy writes every 15 s. */
async function* events(stream, abort) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  for (let text = ''; ;) {
    const silence = setTimeout(() => abort.abort(), 40_000);
    const { done, value } = await reader.read();
    clearTimeout(silence);
    if (done) return;
    const frames = (text + value).split('\n\n');
    text = frames.pop();
    for (const frame of frames) {
      const { event, id, data } = Object.fromEntries(frame.split('\n').map((one) => one.split(/: ?(.*)/s, 2)));
      if (data) yield { event, id: Number(id), data: JSON.parse(data) };
    }
  }
}

/** Follows the proxy until the page is paused or has no access. Each connection begins with the whole list, so that
 * nothing is missing after a break or a restart of the proxy. */
export async function follow() {
  current.abort();
  const abort = current = new AbortController();
  const isOver = () => abort !== current || link.value === 'unauthorized';
  link.value = 'connecting';
  for (let wait = 1; !isOver(); wait = Math.min(2 * wait, 16)) {
    const feed = new AbortController();
    abort.signal.onabort = () => feed.abort();
    try {
      proxy.value = await json('state');
      await loadList();
      const { body } = await call(`feed?after=${seen}`, { signal: feed.signal });
      [link.value, wait] = ['live', 0.5];
      if (notice.value?.isLink) notice.value = null;
      for await (const event of events(body, feed)) apply(event);
    } catch (error) {
      if (isOver()) return;
      const text = error.status ? error.message : t('retry', wait);
      if (wait > 0.5) notice.value = { text, hint: error.hint, isError: true, isLink: true };
    }
    if (isOver()) return;
    link.value = 'ended';
    await sleep(wait * 1000);
  }
}

export function unlock(token) {
  sessionStorage.setItem('token', token.trim());
  follow();
}

export function togglePause() {
  if (link.value === 'paused') return follow();
  current.abort();
  [current, link.value] = [new AbortController(), 'paused'];
}

// ---- The selected request ----

let isLoading = false;
let isStale = false;

function choose(id) {
  if (id !== selected.value) detail.value = null;
  selected.value = id;
  if (id && !detail.value) loadDetail();
}

export function select(id) {
  const isStep = !selected.value && id; // the browser's Back leads to the list
  choose(id);
  writeFragment(isStep);
}

export function setTab(name) {
  tab.value = name;
  writeFragment(false);
}

/** Asks for the details, one question at a time. A request that was just sent again may not be known yet. */
async function loadDetail() {
  isStale = true;
  if (isLoading) return;
  isLoading = true;
  for (let tries = 8; isStale && selected.value; await sleep(250)) {
    const id = selected.value;
    isStale = false;
    try {
      const found = await json(`requests/${id}`);
      if (id === selected.value) detail.value = found;
    } catch (error) {
      if (error.status === 404 && tries-- > 0 && !detail.value) isStale = true;
      else if (!detail.value) complain(error.status === 404 ? new Error(t('gone')) : error);
    }
    if (id !== selected.value) [isStale, tries] = [true, 8];
  }
  isLoading = false;
}

export function step(by) {
  const at = rows.value.findIndex((row) => row.id === selected.value) + by;
  const next = rows.value[Math.max(0, Math.min(rows.value.length - 1, at))];
  if (next) select(next.id);
}

// ---- Actions ----

export async function post(path) {
  await call(path, { method: 'POST' });
  proxy.value = await json('state');
}

export const toggleRecording = () => post(proxy.value?.is_recording ? 'pause' : 'resume').catch(complain);

export const copyText = (text) => navigator.clipboard.writeText(text).then(() => { notice.value = { text: t('copied') }; }).catch(complain);

export const copyAs = (id, kind) => call(`requests/${id}/copy/${kind}`).then((answer) => answer.text()).then(copyText).catch(complain);

/** Saves an answer of the proxy. A plain link cannot carry the token. */
export async function save(path, name) {
  try {
    const url = URL.createObjectURL(await (await call(path)).blob());
    Object.assign(document.createElement('a'), { href: url, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  } catch (error) { complain(error); }
}

export const saveHar = () => save(`har?${query()}`, 'apig-proxy.har');

export async function sendAgain(id, body) {
  select((await json(`requests/${id}/replay`, { body })).id);
}

/** Sends a request again; one that may change something only after a confirmation. */
export function replay() {
  if (!detail.value) return;
  const { summary, replay: { possible, needs_confirmation: asks, why_not: reason } } = detail.value;
  if (!possible) complain(new Error(reason));
  else if (asks || !['GET', 'HEAD', 'OPTIONS'].includes(summary.method)) dialog.value = { kind: 'replay', summary };
  else sendAgain(summary.id, { confirm: false }).catch(complain);
}

export function edit() {
  if (detail.value) dialog.value = { kind: 'edit', detail: detail.value };
}
