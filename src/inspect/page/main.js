// The inspector's page: shell, dialogs and keys.
// Its ids and `data-` attributes are those that `tests/clients/inspector_page.py` lists.

import { html, line, render } from './view.js';
import { focusDetail, Filter, List, Strip } from './list.js';
import { Detail } from './detail.js';
import { t } from './text.js';
import {
  change, complain, copyAs, edit, follow, onChange, page, post, readFragment, replay, saveHar, select, sendAgain, set, show, step, togglePause,
} from './state.js';

// ---- Dialogs ----

const close = () => show(null);
const showModal = (element) => element?.open === false && element.showModal();

/** A dialog of the browser: it keeps the focus inside and gives it back. */
function Dialog({ kind, title, hint, confirm, onConfirm, children }) {
  const submit = (event) => {
    event.preventDefault();
    onConfirm(new FormData(event.target)).then(close, (problem) => change({ problem }));
  };
  return html`<dialog data-dialog=${kind} aria-labelledby=dialog-title onClose=${close} ref=${showModal}><form onSubmit=${submit}>
    <h2 id=dialog-title>${line(title)}</h2>${hint && html`<p>${hint}</p>`}${children}
    <p id=problem class=bad role=alert>${page.problem && line(`${page.problem.message} ${page.problem.hint ?? ''}`)}</p>
    <p class=buttons>${confirm && html`<button id=confirm class=primary>${confirm}</button>`}
    <button id=cancel type=button onClick=${close}>${t(confirm ? 'cancel' : 'close')}</button></p></form></dialog>`;
}

function Edit({ detail: { summary, received, bodies } }) {
  const { text = '', base64 } = bodies.in ?? {};
  const target = received.line.split(' ').slice(1, -1).join(' '); // a hidden value has spaces
  const headers = received.fields.map((field) => field.join(': ')).join('\n');
  const send = (form) => {
    const [body, lines] = [form.get('body').replaceAll('\r\n', '\n'), form.get('headers').split(/\r?\n/)];
    const fields = lines.filter((one) => one.trim()).map((one) => /^(:?[^:]*):?\s*(.*)$/.exec(one).slice(1));
    const content = base64 && !body ? { body_base64: base64 } : { body };
    return sendAgain(summary.id, { confirm: true, edit: { method: form.get('method'), target: form.get('target'), headers: fields, ...content } });
  };
  return html`<${Dialog} kind=edit title=${t('edit')} confirm=${t('send')} onConfirm=${send}>
    <div class=pair><label>${t('method')}<input name=method required defaultValue=${summary.method} /></label>
      <label>${t('target')}<input name=target required spellcheck=false defaultValue=${target} /></label></div>
    <label>${t('headers')}<textarea name=headers rows=7 spellcheck=false defaultValue=${headers}></textarea></label>
    <label>${t('body')}<textarea name=body rows=6 spellcheck=false maxlength=65536 placeholder=${base64 && t('notText')} defaultValue=${text ?? ''}></textarea></label>
<//>`;
}

const clear = () => show({ kind: 'clear', title: t('clearAll', page.proxy?.kept), confirm: t('clear'), onConfirm: () => post('clear') });

const KEYS = { 'j k ↓ ↑': 'requests', Enter: 'details', '← →': 'details', r: 'replay', e: 'edit', c: 'curl', '/': 'filter', p: 'pause', x: 'clear', Esc: 'close' };

const Choice = ({ name, now, options }) => html`<label>${t(name)}<select name=${name} onChange=${(event) => set({ [name]: event.target.value })}>
  ${options.map((value) => html`<option value=${value} selected=${value === now}>${t(value)}</option>`)}</select></label>`;

const Help = () => html`<${Dialog} kind=help title=${t('help')}>
  <h3>${t('keys')}</h3><dl>${Object.entries(KEYS).map(([keys, name]) => html`<dt><kbd>${keys}</kbd></dt><dd>${t(name)}</dd>`)}</dl>
  <p><label><input type=checkbox id=keys checked=${page.settings.keys} onChange=${(event) => set({ keys: event.target.checked })} /> ${t('keysOn')}</label></p>
  <div class=pair><${Choice} name=theme now=${page.settings.theme} options=${['light dark', 'light', 'dark']} />
  <${Choice} name=language now=${document.documentElement.lang} options=${['en', 'zh']} /></div>
<//>`;

const help = () => show({ kind: 'help' });

// ---- Shell ----

const Header = ({ state, link, title }) => html`<div class=bar><h1>${title}</h1><span id=link class=mark data-link=${link}>${link === 'live' ? '●' : '○'} ${t(link)}</span>
  ${link !== 'unauthorized' && html`<span class=buttons><button id=pause onClick=${togglePause}>${t(link === 'paused' ? 'continue' : 'pause')}</button>
  <button id=record onClick=${record}>${t(state?.is_recording === false ? 'resume' : 'stop')}</button>
  <button id=clear onClick=${clear}>${t('clear')}</button><button id=har onClick=${saveHar}>HAR</button>
  <button id=help aria-label=${t('help')} onClick=${help}>?</button></span>`}</div>`;

const record = () => post(page.proxy?.is_recording ? 'pause' : 'resume').catch(complain);

const Notice = ({ of: { text, hint, isError } }) => html`<div id=notice class=bar><p class=${isError ? 'bad' : ''}>${isError && '▲ '}${line(text)} ${line(hint)}</p>
  <button class=small aria-label=${t('close')} onClick=${() => change({ notice: null })}>×</button></div>`;

const Locked = () => html`<main class=empty><h2>${t('needToken')}</h2><p>${t('tokenHint')}</p></main>`;

function App() {
  const { link, proxy: state, notice, dialog, id } = page;
  const title = document.title = t('title') + (state?.kind === 'gateway' ? ` · ${t('gateway')}` : '');
  // The key: another language draws everything again.
  return html`<div class=app key=${page.settings.language}><header><${Header} state=${state} link=${link} title=${title} />
    ${link !== 'unauthorized' && html`<${Strip} state=${state} /><${Filter} filter=${page.filter} error=${page.filterError} />`}${notice && html`<${Notice} of=${notice} />`}</header>
    ${link === 'unauthorized' ? html`<${Locked} />` : html`<main class=${id ? 'split' : ''}><${List} all=${page.rows.slice(0, page.shown)} id=${id} state=${state} />
      <${Detail} id=${id} of=${page.detail} tab=${page.tab} raw=${page.raw} isOff=${state?.replay === 'off'} /></main>`}</div>
    ${dialog && html`<${{ edit: Edit, help: Help }[dialog.kind] ?? Dialog} key=dialog ...${dialog} />`}`;
}

let said = 0;

function draw() {
  render(html`<${App} />`, document.getElementById('app'));
  // Errors are read out, at most one in five seconds: a proxy that is away must not talk without end.
  const region = document.getElementById('announced');
  if (!page.notice?.isError || region.textContent === page.notice.text || Date.now() - said < 5000) return;
  said = Date.now();
  region.textContent = page.notice.text;
}

// ---- Keys ----

const focusRow = (id) => requestAnimationFrame(() => {
  const button = document.querySelector(`#r-${id} button`);
  button?.focus({ preventScroll: true });
  button?.scrollIntoView({ block: 'nearest' });
});

function walk(by) {
  step(by);
  focusRow(page.id);
}

function leave() {
  const { id } = page;
  select(null);
  focusRow(id);
}

const ACTIONS = {
  j: () => walk(1), k: () => walk(-1), ArrowDown: () => walk(1), ArrowUp: () => walk(-1), Enter: focusDetail, Escape: leave,
  '/': () => document.getElementById('filter').focus(), r: replay, e: edit, c: () => copyAs('curl'),
  p: togglePause, x: clear, '?': help,
};

function press(event) {
  const { key, target } = event;
  const isFree = target === document.body;
  if (event.ctrlKey || event.metaKey || event.altKey || page.dialog || page.link === 'unauthorized' || !ACTIONS[key]) return;
  if (target.matches('input, textarea, select')) return void (key === 'Escape' && target.blur());
  if (key.length === 1 ? !page.settings.keys : key === 'Enter' ? !isFree : key.startsWith('Arrow') && !isFree && !target.closest('#list')) return;
  event.preventDefault();
  ACTIONS[key]();
}

/** Draws more rows when the last one is near: a page need not draw all of what pours in. */
function grow() {
  const last = document.querySelector('#list tbody')?.lastElementChild;
  if (page.shown < page.rows.length && last.getBoundingClientRect().top < innerHeight + 999) change({ shown: page.shown + 100 });
}

onChange(draw);
set({});
readFragment();
addEventListener('keydown', press);
addEventListener('popstate', readFragment);
addEventListener('scroll', grow, true);
setInterval(() => change({}), 1000); // durations of open requests
follow();
