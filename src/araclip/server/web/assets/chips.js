/** Chips for the terms of the query and the filters: each can be removed, and a term can be toggled between + and -. */

import { isSearch, write } from './address.js';
import { thumbnail } from './api.js';
import { $, button, el, icon } from './dom.js';
import { language, t } from './i18n.js';
import { dataOf } from './pictures.js';
import { join, split } from './query.js';

const quoted = (text) => `«${text}»`;

export class Chips {
  /** `change` is called with a part of the state: { q }, { like }, { pictures }, … */
  constructor(change) {
    Object.assign(this, { root: $('chips'), change });
  }

  /** Show the chips of a state. `filters` are [{ label, rest }]; `rest` is the change that removes the filter. */
  show(state, filters) {
    const shown = JSON.stringify([language(), write({ ...state, open: [], view: '' }), state.pictures.map(({ id }) => Boolean(dataOf(id))), filters.map(({ label }) => label)]);
    if (shown === this.shown) return; // unchanged: a term that is being typed stays while pictures are indexed
    this.shown = shown;
    const focusedAt = this.root.contains(document.activeElement) ? [...this.root.querySelectorAll('button')].indexOf(document.activeElement) : -1;
    const terms = split(state.q);
    const several = terms.length + state.like.length + state.pictures.length > 1;
    this.root.replaceChildren(
      ...(several || terms[0]?.sign < 0 ? terms.map((term, i) => this.#term(term, terms, i, several)) : []), // a single term is in the search box only
      ...state.like.map((term) => this.#picture(term, 'like', state, thumbnail(term.id, 256), t('picture'), several)),
      ...state.pictures.map((term) => this.#picture(term, 'pictures', state, dataOf(term.id), t(dataOf(term.id) ? 'picture' : 'lostPicture'), several)),
      ...(isSearch(state) ? [el('span.adders', {}, this.#adder(state, 1, 'plus', 'add', 'addLabel'), this.#adder(state, -1, 'minus', 'exclude', 'excludeLabel'))] : []),
      ...(filters.length && isSearch(state) ? [el('span.gap')] : []),
      ...filters.map(({ label, rest }) => el('span.chip.filter', {}, el('span', {}, label),
        button('bare', 'close', t('remove', { text: label }), () => this.change(rest)))),
    );
    if (focusedAt >= 0) [...this.root.querySelectorAll('button')].at(Math.min(focusedAt, -1 + this.root.querySelectorAll('button').length))?.focus();
  }

  #term(term, terms, i, several) {
    const others = terms.filter((_, j) => j !== i);
    const toggled = terms.map((other, j) => (j === i ? { ...other, sign: -other.sign } : other));
    return chip(term.sign, quoted(term.text), el('bdi', {}, term.text), several && {
      toggle: toggled.some(({ sign }) => sign > 0) && (() => this.change({ q: join(toggled) })),
      remove: () => this.change({ q: join(others) }),
    });
  }

  #picture(term, kind, state, source, name, several) {
    const list = state[kind];
    const toggled = list.map((other) => (other === term ? { ...other, weight: -other.weight } : other));
    const image = source ? el('img', { src: source, alt: '', width: 32, height: 32 }) : icon('broken');
    return chip(term.weight, name, [image, el('span', {}, name)], {
      toggle: several && (() => this.change({ [kind]: toggled })),
      remove: () => this.change({ [kind]: list.filter((other) => other !== term) }),
    });
  }

  /** A button that turns into a field for a further term, included or excluded. */
  #adder(state, sign, name, label, hint) {
    const opener = button(`adder.${name}`, name, null, () => {
      const field = el('input', { dir: 'auto', 'aria-label': t(label), placeholder: t(hint), maxlength: 200, enterkeyhint: 'done', spellcheck: 'false' });
      const form = el(`form.chip.${name}`, {
        onsubmit: (event) => {
          event.preventDefault();
          const text = field.value.trim();
          if (text) this.change({ q: join([...split(state.q), { sign, text }]) });
        },
        onkeydown: (event) => { if (event.key === 'Escape') close(); },
        onfocusout: () => { if (!field.value.trim()) close(false); },
      }, icon(name), field);
      const close = (focus = true) => {
        if (!open) return; // removing the form fires focusout, which would close it again
        open = false;
        form.replaceWith(opener);
        if (focus) opener.focus();
      };
      let open = true;
      opener.replaceWith(form);
      field.focus();
    }, t(label));
    return opener;
  }
}

function chip(sign, label, content, actions) {
  const name = sign > 0 ? 'plus' : 'minus';
  const marks = actions?.toggle
    ? button('bare', name, t(sign > 0 ? 'without' : 'include', { text: label }), actions.toggle)
    : (sign < 0 || actions) && icon(name);
  return el(`span.chip.${name}`, {}, marks, el('span.what', {}, content),
    actions?.remove && button('bare', 'close', t('remove', { text: label }), actions.remove));
}
