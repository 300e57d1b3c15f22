/** A short word at the foot of the page, read out too, that goes by itself. */

import { $ } from './dom.js';

const SHOWN_MS = 4000;
let timer;

export function say(text) {
  const toast = $('toast');
  // A modal dialog hides what is outside it from screen readers, so the word goes where people are.
  (document.querySelector('dialog[open]') ?? document.body).append(toast);
  toast.textContent = text;
  clearTimeout(timer);
  timer = setTimeout(() => { toast.textContent = ''; }, SHOWN_MS);
}
