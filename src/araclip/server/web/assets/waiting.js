/** What the page shows while a search is under way. */

import { $ } from './dom.js';
import { t } from './i18n.js';

const LOADING_DELAY_MS = 200; // responses within this time show no loading message

/** A search has begun; call the result when it has ended, with true unless another one has begun meanwhile. */
export function waiting() {
  const main = $('main');
  const late = setTimeout(() => { main.dataset.late = ''; $('count').textContent = t('loading'); }, LOADING_DELAY_MS);
  main.setAttribute('aria-busy', true);
  return (last) => {
    clearTimeout(late);
    if (!last) return;
    delete main.dataset.late;
    main.setAttribute('aria-busy', false);
  };
}
