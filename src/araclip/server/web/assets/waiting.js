/** What the page shows while a search is under way. */

import { $ } from './dom.js';
import { t } from './i18n.js';

const LOADING_DELAY_MS = 200; // responses within this time show no loading message
let late;

/** A search has begun. */
export function waiting() {
  const main = $('main');
  clearTimeout(late);
  late = setTimeout(() => { main.dataset.late = ''; $('count').textContent = t('loading'); }, LOADING_DELAY_MS);
  main.setAttribute('aria-busy', true);
}

/** The latest search has ended, or is not waited for any more. */
export function waited() {
  clearTimeout(late);
  delete $('main').dataset.late;
  $('main').setAttribute('aria-busy', false);
}
