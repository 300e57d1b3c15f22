/** The bar below the page with what can be done with the pictures that are chosen. */

import { button, el } from './dom.js';
import { t } from './i18n.js';

/** Show the bar for these pictures, or hide it for none; `actions` are [[icon, label, run], …]. */
export function selectionBar(items, actions, clear) {
  const bar = document.getElementById('chosen') ?? el('div', { id: 'chosen', role: 'region' });
  if (!bar.parentNode) {
    bar.append(button('bare', 'close', t('chooseNone'), clear), el('p', { role: 'status' }), el('div.ways'));
    document.body.append(bar);
  }
  bar.setAttribute('aria-label', t('chosen'));
  bar.hidden = !items.length;
  if (bar.hidden) return;
  const [none, count, ways] = bar.children; // the count stays: what is put in its place would not be announced
  for (const name of ['aria-label', 'title']) none.setAttribute(name, t('chooseNone'));
  count.textContent = t('chosenCount', { n: items.length });
  ways.replaceChildren(...actions.map(([name, label, run]) => button('quiet', name, null, run, label)));
}
