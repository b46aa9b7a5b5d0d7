// The inspector's page: shell, dialogs and keys.
//
// Tests find things by role and name, and by these, which stay:
//   #link[data-link=connecting|live|paused|ended|unauthorized]  #pause #record #clear #har #help  #strip  #notice
//   #filter #filter-error [data-quick=all|error|hint|slow|open]  #list tr[data-id][data-state]  #empty  #token #unlock
//   #detail #detail-title #replay #edit #curl #close  #tab-{why,changes,signature,answer,timing,raw} #panel
//   [data-copy=curl|python|raw]  dialog[data-dialog=replay|edit|clear|help] #confirm #cancel #problem #keys

import { effect, signal } from './signal.js';
import { html, line, render, view } from './view.js';
import { focusDetail, Filter, GRAMMAR, List, Strip } from './list.js';
import { Detail } from './detail.js';
import { t } from './text.js';
import {
  applySettings, copyAs, detail, dialog, edit, follow, link, notice, post, proxy, readFragment, replay, saveHar, select, selected,
  sendAgain, set, settings, step, toggleRecording, togglePause, unlock,
} from './state.js';

// ---- Dialogs ----

const show = (kind) => { dialog.value = { kind }; };
const close = () => { dialog.value = null; };

/** What was wrong when the dialog was confirmed. */
const problem = signal(null);
const Problem = view(() => html`<p id="problem" class="bad" role="alert">${problem.value && line(`${problem.value.message} ${problem.value.hint ?? ''}`)}</p>`);

const showModal = (element) => element?.open === false && element.showModal();

/** A dialog of the browser: it keeps the focus inside and gives it back. */
function Dialog({ kind, title, confirm, onConfirm, children }) {
  const submit = (event) => {
    event.preventDefault();
    onConfirm(new FormData(event.target)).then(close, (error) => { problem.value = error; });
  };
  return html`<dialog data-dialog=${kind} aria-labelledby="dialog-title" onClose=${close} ref=${showModal}><form onSubmit=${submit}>
    <h2 id="dialog-title">${line(title)}</h2>${children}<${Problem} />
    <p class="buttons">${confirm && html`<button id="confirm" class="primary">${confirm}</button>`}
    <button id="cancel" type="button" onClick=${close}>${t(confirm ? 'cancel' : 'close')}</button></p></form></dialog>`;
}

const Replay = ({ summary: { id, method, path } }) => html`<${Dialog} kind="replay" title=${t('sendAgain', `${method} ${path}`)} confirm=${t('replay')}
  onConfirm=${() => sendAgain(id, { confirm: true })}><p>${t('sendAgainHint')}</p><//>`;

function Edit({ detail: { summary, received, bodies } }) {
  const { text = '', base64 } = bodies.in ?? {};
  const headers = received.fields.map((field) => field.join(': ')).join('\n');
  const send = (form) => {
    const [body, lines] = [form.get('body').replaceAll('\r\n', '\n'), form.get('headers').split(/\r?\n/)];
    const fields = lines.filter((one) => one.trim()).map((one) => /^(:?[^:]*):?\s*(.*)$/.exec(one).slice(1));
    const content = base64 && !body ? { body_base64: base64 } : { body };
    return sendAgain(summary.id, { confirm: true, edit: { method: form.get('method'), target: form.get('target'), headers: fields, ...content } });
  };
  return html`<${Dialog} kind="edit" title=${t('edit')} confirm=${t('send')} onConfirm=${send}>
    <div class="pair"><label>${t('method')}<input name="method" required value=${summary.method} /></label>
      <label>${t('target')}<input name="target" required spellcheck="false" value=${received.line.split(' ')[1]} /></label></div>
    <label>${t('headers')}<textarea name="headers" rows="7" spellcheck="false" defaultValue=${headers}></textarea></label>
    ${headers.includes('‹') && html`<p class="dim">${t('hiddenHint')}</p>`}
    <label>${t('body')}<textarea name="body" rows="6" spellcheck="false" maxlength="65536" defaultValue=${text ?? ''}></textarea></label>
    ${base64 && html`<p class="dim">${t('bytesHint')}</p>`}<//>`;
}

const Clear = () => html`<${Dialog} kind="clear" title=${t('clearAll', proxy.value?.kept)} confirm=${t('clear')} onConfirm=${() => post('clear')} />`;

const KEYS = { 'j k ↓ ↑': 'requests', Enter: 'details', '← →': 'details', r: 'replay', e: 'edit', c: 'curl', '/': 'filter', p: 'pause', x: 'clear', '?': 'help', Esc: 'close' };

const Choice = ({ name, now, options }) => html`<label>${t(name)}<select name=${name} onChange=${(event) => set({ [name]: event.target.value })}>
  ${Object.entries(options).map(([value, text]) => html`<option value=${value} selected=${value === now}>${t(text)}</option>`)}</select></label>`;

const Help = () => html`<${Dialog} kind="help" title=${t('help')}>
  <h3>${t('keys')}</h3><dl class="keys">${Object.entries(KEYS).map(([keys, name]) => html`<div><dt>${keys.split(' ').map((key) => html`<kbd>${key}</kbd> `)}</dt><dd>${t(name)}</dd></div>`)}</dl>
  <label class="check"><input type="checkbox" id="keys" checked=${settings.value.keys} onChange=${(event) => set({ keys: event.target.checked })} />${t('keysOn')}</label>
  <div class="pair"><${Choice} name="theme" now=${settings.value.theme} options=${{ auto: 'auto', light: 'light', dark: 'dark' }} />
  <${Choice} name="language" now=${document.documentElement.lang} options=${{ en: 'English', zh: '简体中文' }} /></div>
  <h3>${t('filter')}</h3><p><code>${GRAMMAR}</code></p><//>`;

const DIALOGS = { replay: Replay, edit: Edit, clear: Clear, help: Help };

// ---- Shell ----

const Header = view(() => {
  const [state, now] = [proxy.value, link.value];
  const title = document.title = t(state?.kind === 'gateway' ? 'gatewayTitle' : 'title');
  return html`<header class="bar"><h1>${title}</h1><span id="link" data-link=${now}>${t(now)}</span>
    <span class="buttons"><button id="pause" title=${t('pauseHint')} onClick=${togglePause}>${t(now === 'paused' ? 'continue' : 'pause')}</button>
    <button id="record" onClick=${toggleRecording}>${t(state?.is_recording === false ? 'resume' : 'stop')}</button>
    <button id="clear" onClick=${() => show('clear')}>${t('clear')}</button><button id="har" onClick=${saveHar}>HAR</button>
    <button id="help" aria-label=${t('help')} onClick=${() => show('help')}>?</button></span></header>`;
});

const Notice = view(() => {
  const now = notice.value;
  return now && html`<div id="notice" class="bar"><p class=${now.isError ? 'bad' : ''}>${now.isError && '▲ '}${line(now.text)} ${line(now.hint)}</p>
    <button class="small" aria-label=${t('close')} onClick=${() => { notice.value = null; }}>×</button></div>`;
});

const Locked = () => html`<main class="empty"><h2>${t('needToken')}</h2><p>${t('tokenHint')}</p>
  <form onSubmit=${(event) => { event.preventDefault(); unlock(event.target.elements.token.value); }}>
  <label>${t('token')} <input id="token" type="password" required autocomplete="off" /></label> <button id="unlock" class="primary">${t('open')}</button></form></main>`;

const App = view(() => {
  const open = dialog.value;
  const key = settings.value.language; // another language draws everything again
  problem.value = null;
  if (link.value === 'unauthorized') return html`<${Header} key=${key} /><${Locked} />`;
  return html`<div key=${key} class="app"><${Header} /><${Strip} /><${Filter} /><${Notice} /><main class=${selected.value ? 'split' : ''}><${List} /><${Detail} /></main></div>
    ${open && html`<${DIALOGS[open.kind]} key="dialog" ...${open} />`}`;
});

/** Errors are read out, at most one in five seconds: a proxy that is away must not talk without end. Others leave. */
function announce() {
  const region = document.getElementById('announced');
  let last = 0;
  effect(() => {
    const now = notice.value;
    if (now && !now.isError) setTimeout(() => { if (notice.value === now) notice.value = null; }, 3000);
    if (!now?.isError || Date.now() - last < 5000) return;
    last = Date.now();
    region.textContent = now.text;
  });
}

// ---- Keys ----

const focusRow = (id) => setTimeout(() => {
  const button = document.querySelector(`#r-${id} button`);
  button?.focus({ preventScroll: true });
  button?.scrollIntoView({ block: 'nearest' });
});

function walk(by) {
  step(by);
  focusRow(selected.value);
}

function leave() {
  focusRow(selected.value);
  select(null);
}

const ACTIONS = {
  j: () => walk(1), k: () => walk(-1), ArrowDown: () => walk(1), ArrowUp: () => walk(-1), Enter: focusDetail, Escape: leave,
  '/': () => document.getElementById('filter').focus(), r: replay, e: edit, c: () => detail.value && copyAs(selected.value, 'curl'),
  p: togglePause, x: () => show('clear'), '?': () => show('help'),
};

function press(event) {
  const { key, target } = event;
  const isFree = target === document.body;
  if (event.ctrlKey || event.metaKey || event.altKey || dialog.value || link.value === 'unauthorized' || !ACTIONS[key]) return;
  if (target.matches('input, textarea, select')) return void (key === 'Escape' && target.blur());
  if (key.length === 1 ? !settings.value.keys : key === 'Enter' ? !isFree : key.startsWith('Arrow') && !isFree && !target.closest('#list')) return;
  event.preventDefault();
  ACTIONS[key]();
}

applySettings();
readFragment();
render(html`<${App} />`, document.getElementById('app'));
announce();
addEventListener('keydown', press);
addEventListener('popstate', readFragment);
follow();
