/** A short message at the bottom of the page, also for screen readers, that disappears by itself. */

import { $ } from './dom.js';

const SHOWN_MS = 4000;
let timer;

export function toast(text) {
  const box = $('toast');
  // A modal dialog hides what is outside it from screen readers, and what fills the screen from all, so the message goes there.
  (document.fullscreenElement ?? document.querySelector('dialog[open]') ?? document.body).append(box);
  box.textContent = text;
  clearTimeout(timer);
  timer = setTimeout(() => { box.textContent = ''; }, SHOWN_MS);
}
