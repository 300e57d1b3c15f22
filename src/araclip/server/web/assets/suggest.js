/** Suggestions below the search box while a query is typed: earlier searches of this device, and the server's. An ARIA combobox. */

import { suggestions } from './api.js';
import { $, el, icon } from './dom.js';
import { t } from './i18n.js';
import { recent } from './recent.js';

const PAUSE_MS = 120; // milliseconds without a key before the server is asked
const EARLIER = 3; // earlier searches beside the server's suggestions
const ICONS = { earlier: 'clock', folder: 'folder', place: 'pin', word: 'search', query: 'search', file: 'picture' };
const FOLDED = [[/[\u064b-\u065f\u0670\u0640]/g, ''], [/[أإآٱ]/g, 'ا'], [/ة/g, 'ه'], [/ى/g, 'ي'], [/ؤ/g, 'و'], [/ئ/g, 'ي']];

/** Letters as they are compared: without hamzas, marks and capitals; the server folds further. */
const fold = (text) => FOLDED.reduce((done, [from, to]) => done.replace(from, to), text.normalize('NFKC').toLowerCase());

export class Suggest {
  /** `choose` is called with { text, kind }. */
  constructor(choose) {
    Object.assign(this, { choose, input: $('query'), list: $('suggestions'), shown: [], at: -1 });
    this.input.addEventListener('input', () => this.#typed());
    this.input.addEventListener('click', () => { if (!this.open) this.#typed(); });
    this.input.addEventListener('keydown', (event) => this.#keys(event));
    this.input.addEventListener('blur', () => this.close());
    this.list.addEventListener('pointerdown', (event) => event.preventDefault()); // the focus stays in the field
    this.list.addEventListener('click', ({ target }) => {
      const option = target.closest('[role=option]');
      if (option) this.#take([...this.list.children].indexOf(option));
    });
  }

  get open() {
    return !this.list.hidden;
  }

  close() {
    clearTimeout(this.timer);
    this.request?.abort();
    this.#show([]);
  }

  #typed() {
    clearTimeout(this.timer);
    this.request?.abort();
    const typed = this.input.value.trimStart();
    const letters = fold(typed);
    const earlier = recent().filter((text) => text !== typed && fold(text).split(/\s+/).some((word, i, all) => all.slice(i).join(' ').startsWith(letters)));
    const own = earlier.slice(0, typed ? EARLIER : undefined).map((text) => ({ text, kind: 'earlier' }));
    this.#show(own);
    if (typed.trim()) this.timer = setTimeout(() => this.#ask(typed, own), PAUSE_MS);
  }

  async #ask(typed, own) {
    this.request = new AbortController();
    try {
      const found = await suggestions(typed, this.request.signal);
      const known = new Set(own.map(({ text }) => text));
      this.#show([...own, ...found.suggestions.filter(({ text }) => !known.has(text))]);
    } catch { /* a search works without them, and reports what is wrong */ }
  }

  #show(options) {
    const active = this.shown[this.at]?.text;
    this.shown = options;
    this.list.hidden = !options.length;
    this.input.setAttribute('aria-expanded', this.open);
    this.list.replaceChildren(...options.map(({ text, kind }, i) => el('li', { role: 'option', id: `option-${i}`, 'aria-selected': false },
      icon(ICONS[kind]), el('bdi', {}, text), kind === 'folder' && el('small', {}, t('inFolder')), kind === 'place' && el('small', {}, t('place')), kind === 'file' && el('small', {}, t('byName')))));
    this.#activate(active ? options.findIndex(({ text }) => text === active) : -1);
  }

  #activate(at) {
    this.list.children[this.at]?.setAttribute('aria-selected', false);
    this.at = at;
    const option = this.list.children[at];
    option?.setAttribute('aria-selected', true);
    option?.scrollIntoView({ block: 'nearest' });
    if (option) this.input.setAttribute('aria-activedescendant', option.id);
    else this.input.removeAttribute('aria-activedescendant');
  }

  #take(at) {
    const chosen = this.shown[at];
    this.close();
    this.choose(chosen);
  }

  #keys(event) {
    if (event.isComposing || event.altKey || event.ctrlKey || event.metaKey) return;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      if (!this.open) this.#typed();
      const places = this.shown.length + 1; // the field itself is a place, too: -1
      if (this.open) this.#activate(((this.at + 1 + step + places) % places) - 1);
    } else if (event.key === 'Enter' && this.at >= 0) {
      event.preventDefault();
      this.#take(this.at);
    } else if (event.key === 'Escape' && this.open) {
      event.preventDefault(); // the first Escape closes the list, the second clears the field
      this.close();
    }
  }
}
