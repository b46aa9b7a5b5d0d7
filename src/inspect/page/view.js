// Drawing, and untrusted text made visible.

import { Component, h, render } from './vendor/preact.mjs';
import htm from './vendor/htm.mjs';
import { t } from './text.js';

export { render };
export const html = htm.bind(h);

/** A component that is drawn again only if a property changes. */
export const pure = (draw) => class extends Component {
  shouldComponentUpdate(next) { return Object.keys(next).some((name) => next[name] !== this.props[name]); }
  render(props) { return draw(props); }
};

// Characters that show nothing or reorder others, the same as in `escape.rs`, and the proxy's mark of a hidden value.
// Text of several lines keeps its line feeds and tabs.
const HARMFUL = '\\x7f-\\x9f\\xad\\u061c\\u180e\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff\\ufff9-\\ufffb\\u{e0000}-\\u{e007f}';
const CONTROL = new RegExp(`[\\0-\\x1f${HARMFUL}]`, 'gu');
const LINE = new RegExp(`(‹[^›\\n]*›|[\\0-\\x1f${HARMFUL}]+)`, 'u');
const LINES = new RegExp(`(‹[^›\\n]*›|[\\0-\\x08\\x0b-\\x1f${HARMFUL}]+)`, 'u');
const SHORT = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/** A text with escapes, for titles. */
export const plain = (text) => text.replace(CONTROL, (char) => SHORT[char] ?? `\\u{${char.codePointAt(0).toString(16)}}`);

const parts = (text, pattern) => String(text ?? '').split(pattern).map((part, at) => (at % 2 === 0 ? part
  : html`<span class=${part[0] === '‹' ? 'hidden-value' : 'escape'}>${plain(part)}</span>`));

export const line = (text) => parts(text, LINE);
export const lines = (text) => parts(text, LINES);

/** Two lines, with what differs marked in both. */
export function compared(a = '', b = '') {
  let [start, end] = [0, 0];
  const least = Math.min(a.length, b.length);
  while (start < least && a[start] === b[start]) start++;
  while (end < least - start && a.at(-1 - end) === b.at(-1 - end)) end++;
  return [a, b].map((text) => [line(text.slice(0, start)), html`<mark>${line(text.slice(start, text.length - end) || '∅')}</mark>`,
    line(text.slice(text.length - end))]);
}

/** Indents JSON without reading its values: numbers and doubled names stay as they came. */
export function indented(text) {
  let [depth, out] = [0, ''];
  const newLine = () => `\n${'  '.repeat(Math.max(0, Math.min(depth, 32)))}`;
  for (const [part] of text.matchAll(/"(?:[^"\\]|\\.)*"?|\{\s*\}|\[\s*\]|[[\]{}:,]|[^\s"[\]{}:,]+/gs)) {
    const [opens, closes] = [part === '{' || part === '[', part === '}' || part === ']'];
    depth += opens - closes;
    out += (closes ? newLine() : '') + part + (part === ':' ? ' ' : opens || part === ',' ? newLine() : '');
  }
  return out;
}

/** The first bytes, in hexadecimal digits. */
export const hexadecimal = (base64) => [...atob(base64.slice(0, 8192))].map((byte) => byte.charCodeAt(0).toString(16).padStart(2, '0')).join(' ');

const SHAPES = ['○', '●', '●', '◆', '▲', '■'];

/** The status by shape, number and words, never by colour alone. */
export function status({ status: code, status_text: text, state, kind }) {
  const level = Math.floor((code ?? 0) / 100);
  const isOpen = state !== 'done';
  const words = code ? `${code} ${text ?? ''}${isOpen ? `, ${t(kind ? 'streaming' : 'open')}` : ''}` : t(isOpen ? 'waiting' : 'noAnswer');
  return html`<span class=${['warn', 'good', 'good', 'warn', 'bad', 'bad'][level]}><span aria-hidden=true>${SHAPES[level] ?? '○'}</span> ${line(words)}</span>`;
}
