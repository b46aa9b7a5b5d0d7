// The details of one request, in six views.

import { compared, hexadecimal, html, indented, line, lines, pure, status } from './view.js';
import { bytes, duration, long, signed, t } from './text.js';
import { copyAs, copyText, edit, page, replay, save, select, setTab } from './state.js';

const Copy = ({ text }) => html`<button class=small onClick=${() => copyText(text)}>${t('copy')}</button>`;

const Block = ({ title, text, children }) => html`<section><h3>${t(title)} ${text && html`<${Copy} text=${text} />`}</h3>${children}</section>`;

function Head({ title, of }) {
  if (!of) return null;
  return html`<${Block} title=${title} text=${[of.line, ...of.fields.map((field) => field.join(': '))].join('\n')}><pre><b>${line(of.line)}</b>${of.fields.map(([name, value]) =>
    html`${'\n'}<span class=name>${line(name)}</span>: ${line(value)}`)}</pre><//>`;
}

// ---- Why ----

function Difference({ of }) {
  if (!of) return null;
  const [ours, theirs] = compared(of.ours ?? '', of.gateway ?? '');
  return html`<div class=aside><b>${line(of.what)}</b> <span class=dim>${t('firstDifference', of.line)}</span>
    <dl><dt>${t('proxy')}</dt><dd><code>${ours}</code></dd><dt>${t('gateway')}</dt><dd><code>${theirs}</code></dd></dl></div>`;
}

function about({ protocol, connection, auth, credential_left_s: left, clock_offset_s: offset, status: number, code }) {
  return line([protocol, connection && t(connection), auth, left != null && t('endsIn', long(left)), offset && t('clockBy', signed(offset)),
    number ? `${number} ${code ?? ''}` : t('noAnswer')].filter(Boolean).join(' · '));
}

function Why({ of: { summary: { end, state }, why, attempts, gaps } }) {
  const isCut = end && end !== 'whole';
  return html`
    ${!why.code && !why.hint && !isCut && html`<p>${t(state === 'done' ? 'fine' : 'open')}</p>`}
    ${isCut && html`<p class=bad>▲ ${t(end)}</p>`}
    <p><code>${line(why.code)}</code> ${line(why.meaning)}</p>
    ${why.hint && html`<div class=aside><b>${t('whatToDo')}</b><p>${lines(why.hint)}</p></div>`}
    <${Difference} of=${why.difference} />
    ${why.gateway_request_id && html`<p>${t('gatewayId')}: <code>${line(why.gateway_request_id)}</code> <${Copy} text=${why.gateway_request_id} /></p>`}
    <ol>${attempts.map((one) => html`<li value=${one.number}><b>${line(one.reason_text)}</b> <span class=dim>${about(one)}</span></li>`)}</ol>
    ${gaps.length > 0 && html`<${Block} title=missing><ul>${gaps.map((gap) => html`<li>${line(gap)}</li>`)}</ul><//>`}`;
}

// ---- Changes ----

const SIGNS = { dropped: '−', set: '+', rewritten: '~' };

function Changes({ of }) {
  const real = of.filter(({ kind }) => kind !== 'kept');
  const unchanged = html`<p class=dim>${t('keptLines', of.length - real.length)}</p>`;
  if (!real.length) return unchanged;
  return html`<table class=changes><thead><tr>${['change', 'field', 'before', 'after', 'reason'].map((name) => html`<th scope=col>${t(name)}</th>`)}</tr></thead>
    <tbody>${real.map(({ kind, name, before, after, reason, text }) => {
      const [was, is] = kind === 'rewritten' ? compared(before ?? '', after ?? '') : [line(before), line(after)];
      return html`<tr><td class=${kind}><span aria-hidden=true>${SIGNS[kind]}</span> ${t(kind)}</td><th scope=row>${name === ':line' ? t('requestLine') : line(name)}</th>
        <td><code>${was}</code></td><td><code>${is}</code></td><td><b>${line(reason)}</b> <span class=dim>${line(text)}</span></td></tr>`;
    })}</tbody></table>${unchanged}`;
}

function Body({ of, side, id }) {
  if (!of?.total) return html`<p class=dim>${t('noBody')}</p>`;
  const { text, base64, type, total, kept, complete, events, decoded } = of;
  const size = decoded ? t('decoded', bytes(total), decoded) : bytes(total);
  const isJson = text && (/json/i.test(type ?? '') || /^\s*[[{]/.test(text));
  const content = events?.length ? html`<ol>${events.map((one) => html`<li><span class=dim>${duration(one.at_us)}</span> ${line(one.event)}<pre>${lines(one.data)}</pre></li>`)}</ol>`
    : kept ? html`<pre tabindex=0>${text == null ? hexadecimal(base64 ?? '') : lines(isJson ? indented(text) : text)}</pre>` : t('bodyOff');
  return html`<p class=buttons><span class=dim>${line(type)} ${complete ? size : t('partOf', bytes(kept), size)}</span>
    ${text && html`<${Copy} text=${text} />`}
    ${kept > 0 && html`<button class=small onClick=${() => save(`requests/${id}/body/${side}`, `body-${side}.bin`)}>${t('download')}</button>`}</p>${content}`;
}

const Request = ({ of: { summary, changes, bodies, received, attempts } }) => html`<${Changes} of=${changes} />
  <${Block} title=body><${Body} of=${bodies.in} side=in id=${summary.id} /><//>
  <div class=columns><${Head} title=before of=${received} /><${Head} title=after of=${attempts.at(-1)?.sent} /></div>`;

// ---- Signature ----

/** A text with its line ends shown. Of the line `at`, what differs from the other text is marked. */
function Exact({ text, other, at }) {
  const all = text.split('\n');
  return html`<pre tabindex=0>${all.map((one, index) => [
    index + 1 === at ? compared(one, other?.split('\n')[index])[0] : line(one),
    index < all.length - 1 && html`<span class=dim aria-hidden=true>⏎</span>${'\n'}`,
  ])}</pre>`;
}

function Signature({ of: { attempts } }) {
  return html`${!attempts.length && t('unsent')}${attempts.map(({ number, auth, canonical, string_to_sign: toSign, echo, difference }) => html`<section><h3>${t('attempt', number)}</h3>
    ${!canonical ? html`<p>${t('unsigned', auth)}</p>` : html`<${Difference} of=${difference} /><div class=columns>
      <${Block} title=canonical text=${canonical}><${Exact} text=${canonical} other=${echo} at=${difference?.line} /><//>
      ${echo && html`<${Block} title=echo text=${echo}><${Exact} text=${echo} other=${canonical} at=${difference?.line} /><//>`}
      ${toSign && html`<${Block} title=toSign text=${toSign}><${Exact} text=${toSign} /><//>`}</div>`}</section>`)}`;
}

// ---- Answer, Time, Raw ----

function Answer({ of: { summary, attempts, answer, bodies } }) {
  return html`<${Block} title=body><${Body} of=${bodies.out} side=out id=${summary.id} /><//>
    <div class=columns><${Head} title=gateway of=${attempts.at(-1)?.response} /><${Head} title=caller of=${answer} /></div>
    ${answer && html`<${Block} title=changes><${Changes} of=${answer.changes} /><//>`}`;
}

function Track({ title, note, spans, whole }) {
  return html`<section><h3>${title}</h3><p class=dim>${note}</p><div class=lane aria-hidden=true>${spans.map((one) =>
    html`<i class=${one.name} style=${{ left: `${(100 * one.start_us) / whole}%`, width: `${(100 * one.us) / whole}%` }}></i>`)}</div>
    <ul class=steps>${spans.map((one) => html`<li><i class=${one.name}></i>${t(one.name)} <b>${duration(one.us)}</b></li>`)}</ul></section>`;
}

function Timing({ of: { summary, spans, attempts } }) {
  const whole = Math.max(1, summary.duration_us ?? 0, ...spans.map((one) => one.start_us + one.us));
  return html`<${Track} title=${`${t('request')} ${duration(whole)}`} spans=${spans} whole=${whole} />${attempts.map((one) => html`<${Track}
    title=${t('attempt', one.number)} note=${[line(one.reason_text), ' · ', about(one)]} spans=${one.spans} whole=${whole} />`)}`;
}

const Raw = ({ of: { answer, bodies: { out } } }) => html`<p class=buttons>${Object.entries({ curl: 'curl', python: 'Python', raw: 'HTTP' }).map(([kind, name]) =>
  html`<button data-copy=${kind} onClick=${() => copyAs(kind)}>${t('copyAs', name)}</button>`)}</p>
  <pre tabindex=0>${lines(page.raw.replaceAll('\r\n', '\n'))}</pre>
  <${Head} title=caller of=${answer} />${out?.decoded && html`<p class=dim>${t('decoded', bytes(out.total), out.decoded)}</p>`}${out?.text && html`<pre tabindex=0>${lines(out.text)}</pre>`}`;

const TABS = { why: Why, changes: Request, signature: Signature, answer: Answer, timing: Timing, raw: Raw };

/** Arrow keys move between the tabs, as in every list of tabs. */
function turn(event) {
  const names = Object.keys(TABS);
  const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!by) return;
  setTab(names.at((names.indexOf(page.tab) + by) % names.length));
  requestAnimationFrame(() => document.getElementById(`tab-${page.tab}`).focus());
}

export const Detail = pure(({ id, of, tab, isOff }) => {
  if (!id) return null;
  const close = html`<button id=close onClick=${() => select(null)}>${t('close')}</button>`;
  if (!of) return html`<section id=detail><div class=bar><h2 id=detail-title tabindex=-1>${t('loading')}</h2>${close}</div></section>`;
  const { summary } = of;
  const now = TABS[tab] ? tab : 'why';
  return html`<section id=detail aria-labelledby=detail-title><div class=bar>
      <h2 id=detail-title tabindex=-1><b>${line(summary.method)}</b> ${line(summary.path)} ${status(summary)} <span class=dim>${line(summary.code)}</span></h2>
      <span class=buttons><button id=replay disabled=${isOff} onClick=${replay}>${t('replay')} <kbd>r</kbd></button>
      <button id=edit disabled=${isOff} onClick=${edit}>${t('edit')} <kbd>e</kbd></button>
      <button id=curl onClick=${() => copyAs('curl')}>curl <kbd>c</kbd></button>${close}</span></div>
    <div role=tablist aria-label=${t('details')} onKeyDown=${turn}>${Object.keys(TABS).map((name) => html`<button role=tab id=${`tab-${name}`}
      aria-selected=${name === now} aria-controls=panel tabindex=${name === now ? 0 : -1} onClick=${() => setTab(name)}>${t(name)}</button>`)}</div>
    <div role=tabpanel id=panel aria-labelledby=${`tab-${now}`} tabindex=0><${TABS[now]} key=${summary.id + now} of=${of} /></div></section>`;
});
