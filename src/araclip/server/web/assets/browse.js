/** The gallery without a query: its pictures by month, folders as albums, a map, and what was taken on this day. */

import { filterCount, filterTexts, isSearch, onlyHidden, UNFILTERED, write } from './address.js';
import { $, el, plainly } from './dom.js';
import { onLanguage, t } from './i18n.js';
import { nothingNotice } from './notice.js';
import { unanswered } from './problems.js';
import { Timeline } from './timeline.js';
import { fetched } from './toast.js';

const VIEWS = ['', 'albums', 'map'];

export class Browse {
  /** `go` changes the state, `failed` shows a Problem. */
  constructor({ go, failed }) {
    Object.assign(this, { go, failed, parts: {}, showing: false });
    this.timeline = new Timeline($('timeline'), { open: ({ id }) => go({ view: id }), failed, counted: () => this.count() });
    onLanguage(() => { this.timeline.clear(); this.count(); }); // `show`, which the page calls then, draws the timeline anew
  }

  /** Show what a state without a query asks for. */
  show(state, stats) {
    this.state = state;
    const words = !state.like.length && !state.pictures.length && (state.q || filterCount(state));
    this.showing = !isSearch(state) && stats?.pictures !== 0;
    $('browse').hidden = !this.showing;
    document.querySelector('.skip').hash = this.showing ? 'browse' : 'results';
    if (!this.showing) return this.timeline.hide();
    const view = VIEWS.includes(state.show) ? state.show : '';
    this.#tabs(state, view, stats?.can?.includes('hide'));
    const album = state.where.album ?? '';
    const home = !view && !filterCount(state);
    this.#part('memories', home, state, stats);
    this.#part('albums', view === 'albums' || Boolean(album), state, stats);
    this.#part('map', view === 'map', state, stats);
    if (view) return this.timeline.hide();
    this.placed = this.timeline.show(state, filterTexts(state)); // a promise, kept once the timeline has its height
    return this.placed;
  }

  /** Say how many pictures pass the filters. */
  count() {
    if (!this.showing) return; // an answer that comes late: a search says its own number
    const n = $('timeline').hidden ? undefined : this.timeline.list?.count;
    const counted = filterCount(this.state) && n !== undefined;
    $('count').textContent = counted ? t('pictures', { n }) : '';
    const said = this.state.where.hidden ? [t('noneHidden'), ''] : [t('nothing'), t('noneFiltered')];
    if (counted && !n) nothingNotice(() => this.go(UNFILTERED), null, said);
  }

  /** Read the gallery again, after a change. */
  refresh() {
    for (const part of Object.values(this.parts)) part.forget?.();
    if (this.showing && !$('timeline').hidden) this.timeline.refresh();
    else this.timeline.key = null;
  }

  /** Show or hide a part. Its module, `name`.js with a `show(root, state, go, stats)`, is loaded when the part is first shown. */
  async #part(name, wanted, state, stats) {
    const root = $(name);
    root.hidden = !wanted;
    if (!wanted) return;
    try {
      this.parts[name] ??= await import(`./${name}.js`);
    } catch {
      this.failed(unanswered());
    }
    if (!root.hidden) this.parts[name]?.show(root, state, this.go, stats);
  }

  #tabs(state, view, hiding) {
    const tab = (name) => {
      const hidden = name === 'hidden';
      const to = { ...UNFILTERED, where: hidden ? { hidden: 'yes' } : {}, show: hidden ? '' : name };
      return el('a', {
        href: write({ ...state, view: '', ...to }) || './', 'aria-current': (hidden ? onlyHidden(state) : name === view && !filterCount(state)) ? 'page' : null,
        onclick: plainly(() => this.go(to)),
      }, t({ '': 'byDate', albums: 'albums', map: 'map', hidden: 'hiddenOnes' }[name]));
    };
    const focused = $('views').contains(document.activeElement) ? [...$('views').children].indexOf(document.activeElement) : -1;
    $('views').replaceChildren(...[...VIEWS, ...(hiding ? ['hidden'] : [])].map(tab));
    $('views').children[focused]?.focus();
  }

  // ------------------------------------------------------------------ what the viewer turns through

  get first() {
    return this.timeline.list?.item(0);
  }

  /** The picture with this id; { id } alone until its page of the list has come. */
  item(id) {
    return this.timeline.list?.item(this.timeline.list.indexOf(id)) ?? { id };
  }

  /** Fetch the pages around a picture of which the address tells only the id. */
  async locate(id) {
    await this.placed;
    const { list } = this.timeline;
    if (list?.months) await import('./locate.js').then(({ locate }) => locate(list, id)).catch(() => {}); // without them, the picture is shown alone
  }

  /** The place of a picture among the others, with its neighbours; null until its page has come. */
  position(id) {
    const { list } = this.timeline;
    const at = list?.indexOf(id) ?? -1;
    return at < 0 ? null : { at, all: list.count, more: false, before: list.item(at - 1), after: list.item(at + 1) };
  }

  /** The picture `step` places from another one; Infinity gives the last, -Infinity the first. */
  async from(id, step) {
    const { list } = this.timeline;
    const at = list?.indexOf(id) ?? -1;
    if (at < 0) return undefined;
    const to = Math.min(list.count - 1, Math.max(0, at + step));
    return (await list.range(to, to + 1))[0];
  }

  /** Focus a picture. */
  focus(id) {
    const at = this.timeline.list?.indexOf(id) ?? -1;
    if (at >= 0) this.timeline.focusAt(at);
  }
}
