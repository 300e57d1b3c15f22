/** How the server understood the query: what it searched beside the words typed, each part with a way back. */

import { $, button, el } from './dom.js';
import { filterLabel } from './filters.js';
import { language, listed, t } from './i18n.js';

export class Understood {
  /** `change` is called with a part of the state: { ignore }, { literal }, { q }. */
  constructor(change) {
    Object.assign(this, { root: $('understood'), change });
  }

  /** Show how the server has interpreted the query, or nothing if `found` is null. */
  show(state, found) {
    const shown = JSON.stringify([language(), state.literal, state.ignore, found]);
    if (shown === this.shown) return; // what has the focus stays, while pictures are indexed
    this.shown = shown;
    const parts = found ? [...this.#parts(state, found), this.#suggestion(found), this.#wayBack(state, found)].filter(Boolean) : [];
    this.root.hidden = !parts.length;
    this.root.replaceChildren(...parts);
  }

  #parts(state, { also, excluded, qualities, filters }) {
    const failed = filters.filter(({ applied }) => !applied);
    return [
      also.length > 0 && this.#chip(state, 'words', t('also', { words: listed(also) })),
      excluded.length > 0 && this.#chip(state, 'exclusions', t('excluded', { words: listed(excluded) })),
      qualities.length > 0 && el('span.note', {}, t('qualityKept', { words: listed(qualities) })),
      ...filters.filter(({ applied }) => applied).map(({ part, where }) => this.#chip(state, part, filtersLabel(where))),
      failed.length > 1 && el('span.note', {}, t('noneTogether', { words: listed(failed.map(({ words }) => `«${words}»`)) })),
      ...(failed.length === 1 ? failed : []).map(({ part, words }) =>
        el('span.note', {}, t({ date: 'noSuchDate', folder: 'noSuchFolder', place: 'noSuchPlace', kind: 'noSuchKind' }[part], { words }))),
    ];
  }

  #chip(state, part, label) {
    const ignore = [...new Set([...state.ignore, part])];
    return el('span.chip.understood', {}, el('span', {}, label),
      button('bare', 'close', t('asTyped', { text: label }), () => this.change({ ignore })));
  }

  #suggestion({ suggestion }) {
    return suggestion && el('span.suggestion', {}, t('didYouMean'), ' ',
      el('button.link', { type: 'button', dir: 'auto', onclick: () => this.change({ q: suggestion }) }, suggestion));
  }

  /** The button that leads back to the words as typed, or to their interpretation. */
  #wayBack(state, { also, excluded, filters }) {
    if (state.literal || state.ignore.length) return link(t('understand'), () => this.change({ literal: false, ignore: [] }));
    return (also.length || excluded.length || filters.length) && link(t('literal'), () => this.change({ literal: true }));
  }
}

const link = (label, run) => el('button.link', { type: 'button', onclick: run }, label);

/** Filters that the server has derived (KEY=VALUE), named as the chips of filters name them. */
function filtersLabel(where) {
  const pairs = where.map((text) => [text.slice(0, text.indexOf('=')), text.slice(text.indexOf('=') + 1)]);
  return pairs.map(([key, value]) => filterLabel(key, value)).join(t('comma'));
}
