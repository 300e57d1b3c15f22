/** A short message at the bottom of the page, also for screen readers. It disappears by itself; an error stays until it is closed. */

import { $, button, el } from './dom.js';
import { t } from './i18n.js';
import { Problem, unanswered } from './problems.js';

const SHOWN_MS = 4000;
const OFFERED_MS = 9000; // for a message with a button
const box = $('toast'); // kept here: a dialog that holds it may be removed from the document
let timer;

/** Put a node into the element in front: what fills the screen, or a modal dialog, hides all that is outside of it. */
export const toFront = (node) => (document.fullscreenElement ?? document.querySelector('dialog:modal') ?? document.body).append(node);

/** Show a text, and a button { label, run } if there is one. */
export function toast(text, action) {
  toFront(box);
  const close = () => { box.textContent = ''; };
  box.replaceChildren(text, ...(action ? [' ', el('button.link', { type: 'button', onclick: () => { close(); action.run(); } }, action.label)] : []));
  clearTimeout(timer);
  timer = setTimeout(close, action ? OFFERED_MS : SHOWN_MS);
}

/** Show an error until it is closed or another message comes. Returns a function that closes it. */
export function complain(error) {
  const close = () => { if (own.isConnected) box.textContent = ''; };
  const own = button('bare', 'close', t('close'), close);
  toast(error instanceof Problem ? [error.title, error.detail].filter(Boolean).join('. ') : t('failed'));
  clearTimeout(timer);
  box.append(' ', own);
  return close;
}

/** The promise of a module that is fetched when needed; where no answer comes, a message is shown, and nothing is given. */
export const fetched = (given) => given.catch(() => { complain(unanswered()); });
