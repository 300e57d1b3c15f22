/** The page's language: messages, and locale-aware numbers, dates and sizes. */

import { messages } from './messages.js';
import { ofDevice } from './storage.js';

const root = document.documentElement;
const listeners = [];
let locale, plurals;

choose(root.lang);

/** 'ar' or 'en'. */
export const language = () => root.lang;

/** Call `listener` whenever the language has changed. */
export const onLanguage = (listener) => listeners.push(listener);

/** Switch the page to 'ar' or 'en' and remember it on this device. */
export function setLanguage(chosen) {
  choose(chosen);
  ofDevice.set('araclip.language', chosen);
  translate(document);
  listeners.forEach((listener) => listener());
}

function choose(chosen) {
  root.lang = chosen === 'en' ? 'en' : 'ar';
  root.dir = root.lang === 'ar' ? 'rtl' : 'ltr';
  // Digits depend on the region (123 in Morocco, ١٢٣ in Egypt), if the browser names one.
  locale = navigator.languages.find((tag) => tag.split('-')[0] === root.lang) ?? root.lang;
  plurals = new Intl.PluralRules(root.lang);
}

/** A message. `{name}` is replaced by a value: numbers are formatted, texts are isolated bidirectionally. */
export function t(key, values = {}) {
  let message = messages[root.lang][key];
  if (message === undefined) throw new Error(`no message ${key}`);
  if (typeof message === 'object') message = message[plurals.select(values.n)] ?? message.other;
  return message.replace(/\{(\w+)\}/g, (_, name) => shown(values[name]));
}

/** A text between bidirectional isolates, as <bdi> does in markup. */
export const isolated = (text) => `\u2068${text}\u2069`;

/** A text of ours that begins with isolates, after a mark of the page's direction: without it, the text would count as left-to-right. */
export const directed = (text) => `${root.dir === 'rtl' ? '\u200f' : '\u200e'}${text}`;

/** A list of texts in the page's order of reading, whatever directions the texts have. */
export const listed = (texts) => (texts.length > 1 ? directed(texts.map(isolated).join(t('comma'))) : texts.join(''));

const shown = (value) => (typeof value === 'number' ? number(value) : isolated(value));

export const number = (value, options) => new Intl.NumberFormat(locale, options).format(value);

/** From these relevances on a hit is strong, or fair; below, it is weak, as gallery/relevance.py has it. */
const STRONG = 0.5;
export const FAIR = 0.2;
export const FAR = 0.08; // if all hits are below, none is shown unasked; measured in docs/log/2026-11.md

/** The relevance of a hit in a word. */
export const strength = (relevance) =>
  t(relevance >= STRONG ? 'strongRelevance' : relevance >= FAIR ? 'fairRelevance' : 'weakRelevance');

/** The share of the small bar on a tile that is filled: a third for each step. */
export const bars = (relevance) => (relevance >= STRONG ? 1 : relevance >= FAIR ? 2 / 3 : 1 / 3);

/** A number of bytes with a suitable unit: 2.4 MB, or the whole word in Arabic, which abbreviates only some of them. */
export function bytes(value) {
  const power = value < 1000 ? 0 : value < 999_500 ? 1 : value < 999_500_000 ? 2 : 3;
  const unit = ['byte', 'kilobyte', 'megabyte', 'gigabyte'][power];
  const digits = power > 1 ? 1 : 0;
  return number(value / 1000 ** power, { style: 'unit', unit, maximumFractionDigits: digits, unitDisplay: root.lang === 'ar' ? 'long' : 'short' });
}

/** A time in a video as players show it: 1:23, or 1:02:03. */
export function clock(seconds) {
  const whole = Math.floor(seconds);
  const two = (value) => number(value, { minimumIntegerDigits: 2 });
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return isolated(hours ? `${number(hours)}:${two(minutes)}:${two(whole % 60)}` : `${number(minutes)}:${two(whole % 60)}`);
}

/** A localised date from the gallery's form (2023, 2023-05, 2023-05-17, 2023-05-17T18:30…). */
export function date(text) {
  const [, year, month, day, time] = /^(\d{4})(?:-(\d\d))?(?:-(\d\d))?(?:[T ](\d\d:\d\d))?/.exec(text) ?? [];
  if (!year) return text;
  const options = { calendar: 'gregory', timeZone: 'UTC', year: 'numeric' };
  if (month) options.month = 'long';
  if (day) options.day = 'numeric';
  if (time) Object.assign(options, { hour: 'numeric', minute: '2-digit' });
  const moment = new Date(`${year}-${month ?? '01'}-${day ?? '01'}T${time ?? '00:00'}Z`);
  return Number.isNaN(moment.getTime()) ? text : new Intl.DateTimeFormat(locale, options).format(moment);
}

/** The months from `oldest` to `newest` (2023-05), in words. */
export function months(oldest, newest) {
  if (oldest === newest) return date(newest);
  const [first, last] = [oldest, newest].map((month) => new Date(`${month}-15T00:00Z`));
  return new Intl.DateTimeFormat(locale, { calendar: 'gregory', timeZone: 'UTC', month: 'long', year: 'numeric' }).formatRange(first, last);
}

/** The name of a month, 1 to 12. */
export function monthName(month) {
  const moment = new Date(Date.UTC(2000, month - 1, 15));
  if (Number.isNaN(moment.getTime())) return isolated(month); // an address may hold anything
  return new Intl.DateTimeFormat(locale, { calendar: 'gregory', timeZone: 'UTC', month: 'long' }).format(moment);
}

/** Translate the markup below `node`: data-t is the text, data-t-label the accessible name, data-t-hint the placeholder. */
export function translate(node) {
  document.title = t('title');
  for (const each of node.querySelectorAll('[data-t]')) each.textContent = t(each.dataset.t);
  for (const each of node.querySelectorAll('[data-t-hint]')) each.placeholder = t(each.dataset.tHint);
  for (const each of node.querySelectorAll('[data-t-label]')) {
    each.setAttribute('aria-label', t(each.dataset.tLabel));
    if (each.matches('button, a, label')) each.title = t(each.dataset.tLabel);
  }
}
