/** The home page: example queries, recent searches, the number of pictures. */

import { write } from './address.js';
import { $, button, el, icon, plainly } from './dom.js';
import { language, t } from './i18n.js';
import { forget, forgetAll, recent } from './recent.js';

let drawn = ''; // what is shown, without the number of pictures

/** Draw the home page; `go` is called with the text of an example or an earlier search. */
export function showHome(state, stats, go) {
  const redraw = () => {
    showHome(state, stats, go);
    $('query').focus();
  };
  const link = (text) => el('a.try', {
    href: write({ ...state, view: '', q: text }),
    onclick: plainly(() => go(text)),
  }, el('bdi', {}, text));
  const earlier = recent();
  const examples = stats?.pictures ? stats[language() === 'ar' ? 'examples' : 'examples_en'] ?? [] : [];
  const now = JSON.stringify([language(), earlier, examples]);
  if (now === drawn) { // unchanged: what has the focus or the pointer stays
    $('home').querySelector('.total').textContent = t('gallery', { n: stats.pictures });
    return;
  }
  drawn = stats?.pictures ? now : '';
  $('home').replaceChildren(...[
    examples.length && el('section', {}, el('h2', {}, t('examples')), el('ul.tries', { role: 'list' }, examples.map((text) => el('li', {}, link(text))))),
    earlier.length && el('section', {},
      el('h2', {}, t('recent')),
      el('ul.earlier', { role: 'list' }, earlier.map((text) => el('li', {}, icon('clock'), link(text),
        button('bare', 'close', t('forget', { text }), () => { forget(text); redraw(); })))),
      el('p.soft', {}, t('recentNote'), ' ', el('button.link', { type: 'button', onclick: () => { forgetAll(); redraw(); } }, t('clearRecent')))),
    stats?.pictures && el('p.soft.total', {}, t('gallery', { n: stats.pictures })),
  ].filter(Boolean));
}
