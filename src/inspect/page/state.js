// What the page knows, and its conversation with the proxy. Nothing here draws.

import { speak, t } from './text.js';

const SHOWN = 500; // rows

export const page = {
  link: 'connecting', // or `live`, `paused`, `ended`, `unauthorized`
  proxy: null,
  rows: [],
  shown: 100, // of them
  filter: '',
  filterError: null,
  id: null, // of the selected request
  tab: 'why',
  detail: null,
  raw: '',
  notice: null, // a message: `{text, hint, isError}`
  dialog: null, // `{kind, …}`
  problem: null, // the error of the dialog
  settings: { keys: true, theme: 'light dark', ...JSON.parse(localStorage.getItem('settings') ?? '{}') },
};

let draw = null;
let isDue = false;

export const onChange = (work) => { draw = work; };

/** Sets members of `page`. The page is drawn once for all changes of a frame. */
export function change(values) {
  Object.assign(page, values);
  if (!isDue) requestAnimationFrame(() => { isDue = false; draw(); });
  isDue = true;
}

/** Shows a message. One that is no error leaves by itself. */
export function tell(notice) {
  change({ notice });
  if (!notice.isError) setTimeout(() => page.notice === notice && change({ notice: null }), 3000);
}

export const complain = ({ message: text, hint }) => page.link !== 'unauthorized' && tell({ text, hint, isError: true });

const sleep = (ms) => new Promise((done) => { setTimeout(done, ms); });

// ---- What survives a reload: the reader's settings, the token, the fragment ----

export function set(values) {
  const settings = { ...page.settings, ...values };
  localStorage.setItem('settings', JSON.stringify(settings));
  const language = settings.language ?? new URLSearchParams(location.search).get('lang') ?? navigator.language;
  speak(language.startsWith('zh') ? 'zh' : 'en');
  document.documentElement.style.colorScheme = settings.theme;
  change({ settings });
}

export function readFragment() {
  const parts = new URLSearchParams(location.hash.slice(1));
  if (parts.has('t')) {
    // The token leaves the address at once: addresses are copied, shown, and kept in the history.
    sessionStorage.setItem('token', parts.get('t'));
    parts.delete('t');
    history.replaceState(null, '', `#${parts}`);
    if (page.link === 'unauthorized') follow();
  }
  change({ filter: parts.get('filter') ?? '', tab: parts.get('tab') ?? 'why' });
  choose(parts.get('id'));
}

function writeFragment(isStep) {
  const parts = { id: page.id, tab: page.id && page.tab, filter: page.filter };
  const given = new URLSearchParams(Object.entries(parts).filter(([, value]) => value));
  history[isStep ? 'pushState' : 'replaceState'](null, '', `#${given}`);
}

// ---- Requests to the proxy ----

async function call(path, { body, ...options } = {}) {
  if (body) Object.assign(options, { method: 'POST', body: JSON.stringify(body) });
  const headers = { authorization: `Bearer ${sessionStorage.getItem('token')}`, ...(body && { 'content-type': 'application/json' }) };
  const response = await fetch(`v1/${path}`, { headers, credentials: 'omit', cache: 'no-store', ...options });
  if (response.ok) return response;
  if (response.status === 401) change({ link: 'unauthorized' });
  const { error } = await response.json().catch(() => ({}));
  throw Object.assign(new Error(error?.message ?? `HTTP ${response.status}`), { status: response.status, ...error });
}

const json = async (path, options) => (await call(path, options)).json();
const text = async (path) => (await call(path)).text();
const query = () => new URLSearchParams({ filter: page.filter, limit: SHOWN });

// ---- The list ----

const kept = new Map();
let seen = 0;
let isReloading = false;

/** WebSockets and event streams stay on top while they are open. Nobody reads a flood: the next tick draws it. */
function put(summaries) {
  for (const row of summaries) if (!(kept.get(row.id)?.seq > row.seq)) kept.set(row.id, row);
  if (summaries.some((row) => row.id === page.id)) loadDetail();
  const isOnTop = (row) => Number(row.kind != null && row.state !== 'done');
  const rows = [...kept.values()].sort((a, b) => isOnTop(b) - isOnTop(a) || b.time - a.time);
  for (const row of rows.splice(SHOWN)) kept.delete(row.id);
  if (summaries.length > 30 && page.rows.length) page.rows = rows;
  else change({ rows });
}

async function loadList() {
  const asked = page.filter;
  try {
    const { seq, requests } = await json(`requests?${query()}`);
    if (asked !== page.filter) return;
    change({ filterError: null });
    kept.clear();
    seen = seq;
    put(requests);
  } catch (error) {
    if (error.status !== 400) throw error;
    change({ filterError: error });
  }
}

export function setFilter(filter) {
  change({ filter });
  writeFragment();
  loadList().catch(complain);
}

/** Only the proxy reads filters: a list with one is asked for again, at most twice a second. */
async function reload() {
  if (isReloading) return;
  isReloading = true;
  await sleep(500);
  isReloading = false;
  await loadList().catch(complain);
}

function apply({ event, id, data }) {
  if (event === 'state') return change({ proxy: data });
  if (event === 'cleared') kept.clear();
  else if (event === 'evicted') for (const gone of data) kept.delete(gone);
  else if (page.filter) return reload();
  if (id) seen = id; // the last event of a frame has one
  put(Array.isArray(data) && event !== 'evicted' ? data : []);
}

// ---- The feed ----

let current = new AbortController();

/** The events of a stream until it ends. A silence of 40 s ends it too: the proxy writes every 15 s. */
async function* events(stream, abort) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = ''; ;) {
    const silence = setTimeout(() => abort.abort(), 40_000);
    const { done, value } = await reader.read();
    clearTimeout(silence);
    if (done) return;
    const frames = (rest + value).split('\n\n');
    rest = frames.pop();
    for (const frame of frames) {
      const { event, id, data } = Object.fromEntries(frame.split('\n').map((one) => one.split(/: ?(.*)/s, 2)));
      if (data) yield { event, id: Number(id), data: JSON.parse(data) };
    }
  }
}

/** Follows the proxy until the page is paused or has no access. Each connection begins with the whole list, so that
 * nothing is missing after a break. */
export async function follow() {
  current.abort();
  const abort = current = new AbortController();
  const isOver = () => abort !== current || page.link === 'unauthorized';
  change({ link: 'connecting' });
  for (let wait = 1; !isOver(); wait = Math.min(2 * wait, 16)) {
    const feed = new AbortController();
    abort.signal.onabort = () => feed.abort();
    try {
      change({ proxy: await json('state') });
      await loadList();
      const { body } = await call(`feed?after=${seen}`, { signal: feed.signal });
      change({ link: 'live', notice: page.notice?.isLink ? null : page.notice });
      wait = 0.5;
      for await (const event of events(body, feed)) apply(event);
    } catch (error) {
      if (isOver()) return;
      if (wait > 0.5) tell({ text: error.status ? error.message : t('retry', wait), hint: error.hint, isError: true, isLink: true });
    }
    if (isOver()) return;
    change({ link: 'ended' });
    await sleep(wait * 1000);
  }
}

export function togglePause() {
  if (page.link === 'paused') return follow();
  current.abort();
  current = new AbortController();
  change({ link: 'paused' });
}

// ---- The selected request ----

let isLoading = false;
let isStale = false;

function choose(id) {
  if (id !== page.id) change({ detail: null, raw: '' });
  change({ id });
  if (id && !page.detail) loadDetail();
}

export function select(id) {
  const isStep = !page.id && id; // the browser's Back leads to the list
  choose(id);
  writeFragment(isStep);
}

export function setTab(tab) {
  change({ tab });
  writeFragment();
  if (tab === 'raw') loadDetail();
}

/** Asks for the details, one question at a time. A request that was just sent again may not be known yet. */
async function loadDetail() {
  isStale = true;
  if (isLoading) return;
  isLoading = true;
  for (let tries = 8; isStale && page.id; await sleep(250)) {
    const { id, tab } = page;
    isStale = false;
    try {
      const detail = await json(`requests/${id}`);
      const raw = tab === 'raw' ? await text(`requests/${id}/copy/raw`) : page.raw;
      if (id === page.id) change({ detail, raw });
    } catch (error) {
      if (error.status === 404 && tries-- > 0 && !page.detail) isStale = true;
      else if (!page.detail) {
        complain(error);
        select(null);
      }
    }
    if (id !== page.id) [isStale, tries] = [true, 8];
  }
  isLoading = false;
}

export function step(by) {
  const at = page.rows.findIndex((row) => row.id === page.id) + by;
  const next = page.rows[Math.max(0, Math.min(page.rows.length - 1, at))];
  if (next) select(next.id);
}

// ---- Actions ----

export const show = (dialog) => change({ dialog, problem: null });

export async function post(path) {
  await call(path, { method: 'POST' });
  change({ proxy: await json('state') });
}

export const copyText = (copied) => navigator.clipboard.writeText(copied).then(() => tell({ text: t('copied') })).catch(complain);

export const copyAs = (kind) => page.detail && text(`requests/${page.id}/copy/${kind}`).then(copyText).catch(complain);

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
  const made = await json(`requests/${id}/replay`, { body });
  await sleep(250); // until the inspector knows it
  if (page.id === id) select(made.id);
}

const ask = ({ id, method, path }) => show({ kind: 'replay', title: t('sendAgain', `${method} ${path}`), hint: t('sendAgainHint'), confirm: t('replay'),
  onConfirm: () => sendAgain(id, { confirm: true }) });

/** Sends a request again; one that may change something only after a confirmation. */
export function replay() {
  if (!page.detail) return;
  const { summary, replay: { possible, needs_confirmation: asks, why_not: reason } } = page.detail;
  if (!possible) complain({ message: reason });
  else if (asks || !['GET', 'HEAD', 'OPTIONS'].includes(summary.method)) ask(summary);
  else sendAgain(summary.id, { confirm: false }).catch(complain);
}

export const edit = () => page.detail && show({ kind: 'edit', detail: page.detail });
