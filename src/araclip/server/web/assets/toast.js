/** A short message at the bottom of the page, also for screen readers, that disappears by itself. */

import { $, el } from './dom.js';

const SHOWN_MS = 4000;
const OFFERED_MS = 9000; // where there is something to click
let timer;

/** Show a text, and a button { label, run } if there is one. */
export function toast(text, action) {
  const box = $('toast');
  // A modal dialog hides what is outside it from screen readers, and what fills the screen from all, so the message goes there.
  (document.fullscreenElement ?? document.querySelector('dialog[open]') ?? document.body).append(box);
  const close = () => { box.textContent = ''; };
  box.replaceChildren(text, ...(action ? [' ', el('button.link', { type: 'button', onclick: () => { close(); action.run(); } }, action.label)] : []));
  clearTimeout(timer);
  timer = setTimeout(close, action ? OFFERED_MS : SHOWN_MS);
}
