/** What was taken on this day in earlier years. */

import { thumbnail } from './api.js';
import { write } from './address.js';
import * as api from './browsing-api.js';
import { el, plainly, renew } from './dom.js';
import { date, t } from './i18n.js';

const MOST = 200;
let shown = '';

/** Show a picture of each earlier year; a click shows that day. */
export async function show(root, state, go) {
  const today = new Date();
  const day = `${today.getMonth() + 1}-${today.getDate()}`;
  const key = `${day} ${document.documentElement.lang}`;
  if (shown === key) return;
  shown = key;
  const where = [`month=${today.getMonth() + 1}`, `day=${today.getDate()}`, `captured=..${today.getFullYear() - 1}`];
  const { results } = await api.pictures(where, 0, MOST).catch(() => ({ results: [] }));
  const years = new Map();
  for (const item of results) {
    const year = Number(item.captured_at.slice(0, 4));
    years.set(year, [...(years.get(year) ?? []), item]);
  }
  renew(root, years.size ? [el('h2', {}, t('onThisDay')), el('ul', { role: 'list' }, [...years].map(([year, items]) => el('li', {}, card(year, items))))] : []);

  function card(year, items) {
    const captured = items[0].captured_at.slice(0, 10);
    const to = { where: { captured } };
    return el('a.card', {
      href: write({ ...state, view: '', ...to }), 'aria-label': `${date(captured)}${t('comma')}${t('pictures', { n: items.length })}`,
      onclick: plainly(() => go(to)),
    }, el('img', { alt: '', src: thumbnail(items[0].id, 512), decoding: 'async' }), el('span', {}, t('yearsAgo', { n: today.getFullYear() - year })));
  }
}

/** Let the next `show` ask the server again. */
export const forget = () => { shown = ''; };
