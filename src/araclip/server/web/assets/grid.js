/** The results as justified rows, weak ones below a divider; arrow keys move the focus between pictures. */

import { thumbnail } from './api.js';
import { write } from './address.js';
import { button, el, icon, marked, plainly, setStyle } from './dom.js';
import { bars, clock, number, strength, t } from './i18n.js';
import { isScene, timeCode } from './movie.js';
import { heightFor, justify, ratioOf } from './layout.js';

const GAP = 8;
const COARSE = 256; // pixels of a thumbnail's longer side
const FINE = 512;

export class Grid {
  /** `root` receives the rows; `open`, `similar` and `unfold` (its near-duplicates) are called with a result, `dress`, if it is set, with each new tile. */
  constructor(root, { open, similar, unfold }) {
    Object.assign(this, { root, open, similar, unfold, dress: null, tiles: new Map(), results: null, shown: [] });
    this.divider = el('h2.divider');
    this.strong = el('ul.rows', { role: 'list' });
    this.weak = el('ul.rows', { role: 'list' });
    root.append(this.strong, this.divider, this.weak);
    root.addEventListener('keydown', (event) => this.#keys(event));
    addEventListener('beforeprint', () => { for (const image of root.querySelectorAll('img')) image.loading = 'eager'; });
    let width = root.clientWidth;
    new ResizeObserver(() => {
      if (root.clientWidth !== width && this.results) this.show(this.results);
      width = root.clientWidth;
    }).observe(root);
  }

  /** Show results, reusing existing tiles; returns the visible ones. */
  show(results) {
    if (this.results !== results) {
      this.tiles.forEach((tile) => tile.remove());
      this.tiles.clear();
      this.current = null;
    }
    for (const image of this.root.querySelectorAll('img[data-src]')) { // cancelled for a later search that was then given up
      image.src = image.dataset.src;
      delete image.dataset.src;
    }
    this.results = results;
    const { items, strong, more } = results;
    const weaker = items.slice(strong);
    // An incomplete last row is held back for the next page, or its tiles would move then.
    const above = this.#lay(this.strong, items.slice(0, strong), more && !weaker.length, weaker.length > 0);
    const below = this.#lay(this.weak, weaker, more);
    this.divider.hidden = !above.length || !below.length;
    this.divider.textContent = t('weaker');
    this.shown = [...above, ...below];
    const kept = new Set(this.shown.map(({ id }) => id));
    for (const [id, tile] of this.tiles) if (!kept.has(id)) { tile.remove(); this.tiles.delete(id); }
    const unfolded = new Set(items.map(({ of }) => of));
    this.tiles.forEach((tile, id) => tile.querySelector('.near')?.setAttribute('aria-expanded', unfolded.has(id)));
    this.current = this.shown.find(({ id }) => id === this.current)?.id ?? this.shown[0]?.id;
    this.tiles.forEach((tile, id) => { tile.firstChild.tabIndex = id === this.current ? 0 : -1; });
    return this.shown;
  }

  /** Cancel loading thumbnails, to free connections and the server for the next search. */
  cancelLoading() {
    for (const image of this.root.querySelectorAll('img[src]')) {
      if (image.complete) continue;
      image.dataset.src = image.getAttribute('src');
      image.removeAttribute('src');
    }
  }

  clear() {
    this.show({ items: [], strong: 0, more: false });
    setStyle(this.strong, { height: '0' });
    this.results = null;
  }

  /** Focus a picture, if it is visible. */
  focus(id) {
    const tile = this.tiles.get(id);
    if (!tile) return;
    if (this.current) this.tiles.get(this.current).firstChild.tabIndex = -1;
    this.current = id;
    tile.firstChild.tabIndex = 0;
    tile.firstChild.focus();
  }

  #lay(list, items, hold, fill = false) {
    const width = this.root.clientWidth;
    const { boxes, height, whole } = justify(items.map(ratioOf), { width, target: heightFor(width), gap: GAP, fill });
    const count = hold && whole ? whole : items.length;
    items.slice(0, count).forEach((item, i) => {
      const { start, top, width: wide, height: high } = boxes[i];
      let tile = this.tiles.get(item.id);
      if (!tile) {
        tile = this.#tile(item, Math.max(wide, high));
        this.tiles.set(item.id, tile);
      }
      setStyle(tile, { 'inset-inline-start': `${start}px`, top: `${top}px`, width: `${wide}px`, height: `${high}px` });
      tile.box = boxes[i];
      tile.toggleAttribute('data-copy', Boolean(item.of));
      if (list.children[i] !== tile) list.insertBefore(tile, list.children[i] ?? null); // the order of reading is that of the results
    });
    setStyle(list, { height: `${count && count === whole ? boxes[count - 1].top + boxes[count - 1].height : height}px` });
    return items.slice(0, count);
  }

  #tile(item, longest) {
    const { id, name, relevance, placeholder, matched } = item;
    const state = this.results.state;
    const label = relevance === null ? name : t('tile', { name, strength: strength(relevance) });
    const whole = isScene(item) ? t('tileVideo', { label, time: clock(item.time) }) : label;
    const side = longest * devicePixelRatio > COARSE * 1.1 ? FINE : COARSE;
    const image = el('img', { alt: '', loading: 'lazy', decoding: 'async', draggable: 'false', width: item.width, height: item.height, src: thumbnail(id, side) });
    const tile = el('li.tile', { style: placeholder ? { 'background-image': `url("${placeholder}")` } : {} },
      el('a.open', { href: write({ ...state, view: id }), 'aria-label': whole, onclick: plainly(() => { this.current = id; this.open(item); }) },
        image,
        el('span.name', {}, el('bdi', {}, name)),
        matched?.length > 0 && el('span.matched', {}, marked(matched.at(-1))), // matches of names come first, those of other texts last
        timeCode(item),
        relevance !== null && el('span.relevance', { style: { '--relevance': bars(relevance) } })),
      item.near > 0 && button('near', 'copies', t('near', { n: item.near }), () => this.unfold(item)),
      button('like', 'similar', t('similar'), () => this.similar(item)));
    tile.querySelector('.near')?.append(el('span', { 'aria-hidden': true }, number(item.near + 1)));
    for (const each of tile.querySelectorAll('button')) each.tabIndex = -1; // keyboard users find these actions in the viewer
    this.dress?.(tile, item);
    image.addEventListener('load', () => { tile.dataset.loaded = ''; }, { once: true });
    image.addEventListener('error', () => { image.replaceWith(el('span.gone', {}, icon('broken'), t('gone'))); });
    return tile;
  }

  #keys(event) {
    const tile = event.target.closest('li');
    const at = this.shown.findIndex(({ id }) => this.tiles.get(id) === tile);
    if (at < 0 || event.altKey || event.metaKey) return;
    const forward = document.documentElement.dir === 'rtl' ? -1 : 1;
    const to = {
      ArrowRight: () => at + forward,
      ArrowLeft: () => at - forward,
      ArrowDown: () => this.#beside(at, 1),
      ArrowUp: () => this.#beside(at, -1),
      Home: () => 0,
      End: () => this.shown.length - 1,
    }[event.key]?.();
    if (to === undefined) return;
    event.preventDefault();
    if (this.shown[to]) this.focus(this.shown[to].id);
  }

  /** The index of the nearest picture in the next row (or, with step -1, the previous one). */
  #beside(at, step) {
    const tiles = this.shown.map(({ id }) => this.tiles.get(id));
    const rowOf = (tile) => (tile.parentNode === this.weak ? 1e6 : 0) + tile.box.row;
    const centre = ({ box }) => box.start + box.width / 2;
    let best = at;
    let row = null;
    for (let i = at + step; i >= 0 && i < tiles.length; i += step) {
      if (rowOf(tiles[i]) === rowOf(tiles[at])) continue;
      row ??= rowOf(tiles[i]);
      if (rowOf(tiles[i]) !== row) break;
      const nearer = Math.abs(centre(tiles[i]) - centre(tiles[at])) < Math.abs(centre(tiles[best]) - centre(tiles[at]));
      if (best === at || nearer) best = i;
    }
    return best;
  }
}
