// The strip with the state of the proxy, the filter, and the list of requests.

import { html, line, plain, pure, status } from './view.js';
import { bytes, clock, duration, long, signed, t } from './text.js';
import { page, select, setFilter } from './state.js';

const item = (text, isBad, title) => html`<li class=${isBad ? 'bad' : ''} title=${title}>${isBad && '▲ '}${line(text)}</li>`;

function credential({ name, kind, is_good: isGood, is_locked: isLocked, left_s: left }) {
  const state = isLocked ? t('locked') : !isGood ? t('expired') : left == null ? 'ok' : t('endsIn', long(left));
  return item(`${kind} ${name}: ${state}`, isLocked || !isGood);
}

export const Strip = pure(({ state }) => {
  if (!state) return html`<ul id=strip></ul>`;
  const { upstreams, memory, memory_limit: limit, bodies, buffered, evicted, dropped } = state;
  const sum = (name) => upstreams.reduce((whole, one) => whole + one[name], 0);
  return html`<ul id=strip>
    ${!state.is_recording && item(t('stopped'), true)}
    ${state.credentials.map(credential)}
    ${upstreams.filter((one) => one.clock_offset_s).map((one) => item(`${t('clock')} ${signed(one.clock_offset_s)}`, true, plain(one.name)))}
    ${item(t('connections', sum('active'), sum('idle')))}
    ${buffered > 0 && item(t('buffered', bytes(buffered)))}
    ${item(t('memory', bytes(memory), bytes(limit)) + (bodies ? '' : `, ${t('headsOnly')}`))}
    ${evicted > 0 && item(t('evicted', evicted))}
    ${dropped > 0 && item(t('unrecorded', dropped), true)}
  </ul>`;
});

const QUICK = { all: '', error: 'is:error', hint: 'is:hint', slow: 'is:slow', open: 'is:open' };

function choose(term) {
  const others = page.filter.split(/\s+/).filter((part) => !Object.values(QUICK).includes(part));
  setFilter(term && [...others, term].join(' '));
}

export const Filter = pure(({ filter, error }) => {
  const terms = filter.trim().split(/\s+/);
  return html`<div class="bar filter" role=search><label for=filter>${t('filter')}</label>
    <input id=filter value=${filter} placeholder="status:4xx method:POST route:/x code:APIG.0301 path:/x is:error -term" spellcheck=false autocomplete=off
      aria-invalid=${!!error} aria-describedby=filter-error onInput=${(event) => setFilter(event.target.value)} />
    <span class=buttons>${Object.entries(QUICK).map(([name, term]) => html`<button data-quick=${name}
      aria-pressed=${terms.includes(term)} onClick=${() => choose(term)}>${t(name)}</button>`)}</span>
    <p id=filter-error class=bad role=status>${error && line(`${error.message} ${error.hint ?? ''}`)}</p></div>`;
});

const PARTS = ['wait', 'connect', 'send', 'gateway', 'answer'];

/** Parts in proportion, of a length that grows with the logarithm, from 0.1 ms to a minute. */
function Bar({ bar, us }) {
  const length = Math.min(100, Math.max(4, 17.2 * Math.log10(Math.max(1, us / 100))));
  return html`<span class=lengths aria-hidden=true><span style=${{ width: `${length}%` }}>${PARTS.map((name) =>
    bar[name] > 0 && html`<i class=${name} style=${{ flexGrow: String(bar[name]) }}></i>`)}</span></span>`;
}

const Row = pure(({ row, isSelected, isEntry, now }) => {
  const mark = (text, kind = '') => html`<span class="mark ${kind}">${text}</span>`;
  const us = row.duration_us ?? Math.max(0, now - row.time) * 1000;
  const query = row.query ? `?${row.query}` : '';
  // A click by a key has no detail. It leads to the details.
  const open = (event) => {
    select(row.id);
    if (!event.detail) requestAnimationFrame(focusDetail);
  };
  const cells = {
    time: clock(row.time),
    method: line(row.method),
    path: html`<button tabindex=${isSelected || isEntry ? 0 : -1} title=${plain(row.path + query)}>${line(row.path)}<span class=dim>${line(query)}</span></button>`,
    state: html`${status(row)} <span class=dim>${line(row.code)}</span>`,
    took: html`<span>${duration(us)}</span><${Bar} bar=${row.bar} us=${us} />`,
    size: `${bytes(row.bytes_in)} / ${bytes(row.bytes_out)}`,
    route: line(row.route),
    caller: line(row.caller),
    marks: [row.attempts > 1 && mark(`${row.attempts}×`), row.has_hint && mark(t('hint'), 'warn'), row.has_gaps && mark(t('gaps'), 'warn'),
      row.kind && mark(row.kind === 'websocket' ? 'WS' : 'SSE'), row.replay_of && mark(t('replayed'))],
  };
  return html`<tr role=row id=${`r-${row.id}`} data-id=${row.id} data-state=${row.state} aria-current=${isSelected ? 'true' : null} onClick=${open}>
    ${Object.entries(cells).map(([name, cell]) => html`<td role=cell class=${name}>${cell}</td>`)}</tr>`;
});

export function focusDetail() {
  document.getElementById('detail-title')?.focus();
}

const COLUMNS = ['time', 'method', 'path', 'state', 'took', 'size', 'route', 'caller', 'marks'];

function Empty({ state }) {
  if (page.filter.trim()) return html`<p class=empty>${t('noMatch')}</p>`;
  return html`<div class=empty id=empty><h2>${t('empty')}</h2>${state.is_recording ? html`<p>${t('emptyHint')}</p><pre>curl -i ${state.proxy}/</pre>` : t('stopped')}</div>`;
}

// A table that is laid out as a grid loses its roles in some browsers.
export const List = ({ all, id, state }) => {
  const entry = all.some((row) => row.id === id) ? id : all[0]?.id;
  return html`<section id=list><table role=table aria-label=${t('requests')}>
    <thead role=rowgroup><tr role=row>${COLUMNS.map((name) => html`<th role=columnheader class=${name}>${t(name)}</th>`)}</tr></thead>
    <tbody role=rowgroup>${all.map((row) => html`<${Row} key=${row.id} row=${row} isSelected=${row.id === id} isEntry=${row.id === entry}
      now=${row.duration_us == null && Date.now()} />`)}</tbody></table>
    ${!all.length && state && html`<${Empty} key=empty state=${state} />`}</section>`;
};
