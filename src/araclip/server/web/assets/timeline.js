/** The pictures of a gallery by month, newest first. Only what is in sight is in the document, however many there are. */

import { thumbnail } from './api.js';
import { write } from './address.js';
import { el, icon, plainly, setStyle } from './dom.js';
import { clock, date, months, number, t } from './i18n.js';
import { beside, between, boxOf, layout, sectionAt, sectionOf } from './month-layout.js';
import { isScene, timeCode } from './movie.js';
import { PictureList } from './picture-list.js';
import { Scrubber } from './scrubber.js';

const AHEAD = 500; // pixels above and below the window that are drawn, too
const PAPER = 4000; // the same for printing
const QUIET_MS = 90; // milliseconds that the page must stand still after a jump before pictures are fetched

/** Remove a tile, and cancel its thumbnail if that has not come. */
function removed(tile) {
  const image = tile.querySelector('img');
  if (image && !image.complete) image.removeAttribute('src');
  tile.remove();
}

export class Timeline {
  /** `open` is called with a picture, `failed` with a Problem, `counted` with the number of pictures; `dress`, if set, with a tile. */
  constructor(root, { open, failed, counted }) {
    Object.assign(this, { root, open, failed, counted, dress: null, list: null, tiles: new Map(), kept: new Map(), heads: new Map(), current: 0, last: 0 });
    this.scrubber = new Scrubber((top) => scrollTo(0, top + this.#above()));
    root.addEventListener('keydown', (event) => this.#keys(event));
    addEventListener('scroll', () => this.#later(), { passive: true });
    addEventListener('beforeprint', () => this.#draw(PAPER));
    new ResizeObserver(() => { if (this.list?.months && root.clientWidth !== this.width) this.#place(); }).observe(root);
  }

  /** Show the pictures of a state, or go on showing them. */
  async show(state, filters) {
    this.state = state;
    this.root.hidden = false;
    if ((this.list || this.coming) && this.key === filters.join('\n')) this.#draw();
    else {
      this.#drop();
      this.opened = this.#open(filters);
    }
    return this.opened;
  }

  /** Hide the timeline; its list stays for the way back. */
  hide() {
    this.root.hidden = true;
    this.clear();
    this.scrubber.hide();
  }

  /** Read the gallery again, after a change; the month in sight stays in sight. */
  async refresh() {
    if (this.list) await this.#open(this.list.filters);
  }

  async #open(filters) {
    this.key = filters.join('\n');
    const list = new PictureList(filters, {
      arrived: () => { if (this.list === list) this.#draw(); },
      failed: (problem) => { if (this.list === list) this.failed(problem); },
    });
    this.coming = list; // what is shown stays until the new list has come
    try {
      await list.open();
      if (this.tiles.size) await list.range(...this.#inSight(list.count)); // drawn at once in place of what is shown
    } catch (problem) {
      if (this.coming === list) {
        [this.key, this.coming] = [null, null]; // the list that is shown, if there is one, stays until the next attempt
        this.failed(problem);
      }
      return;
    }
    if (this.coming !== list) return;
    const top = scrollY - this.#above(); // as late as this: the page may have been scrolled since the list was asked for
    const seen = this.list && this.box && sectionAt(this.box, Math.max(0, top));
    [this.list, this.coming] = [list, null];
    this.counted(list.count);
    this.#place();
    const again = seen && this.box.sections.find(({ month }) => month === seen.month);
    if (again && top > seen.top && !this.root.hidden) scrollTo(0, this.#above() + again.top + Math.min(top - seen.top, again.height));
  }

  #drop() {
    this.list = null;
    this.current = 0;
    this.clear();
    setStyle(this.root, { height: '0' });
  }

  /** Remove all that is drawn. */
  clear() {
    this.tiles.forEach(removed);
    this.heads.forEach((head) => head.remove());
    this.tiles.clear();
    this.heads.clear();
  }

  /** The places of the tiles in sight: [first, one past the last]. */
  #inSight(count) {
    const places = [...this.tiles.keys()];
    return [Math.min(count, ...places), Math.min(count, Math.max(...places) + 1)];
  }

  /** Lay everything out anew, for a width or a list; the tiles of pictures that stay in sight stay. */
  #place() {
    this.width = this.root.clientWidth;
    if (!this.width) return;
    this.box = layout(this.list.months, this.width);
    this.kept = new Map([...this.tiles.values()].map((tile) => [tile.picture, tile]));
    this.tiles.clear();
    this.clear();
    setStyle(this.root, { height: `${this.box.height}px` });
    this.#draw();
    this.kept.forEach(removed);
    this.kept = new Map();
  }

  #above() {
    return this.root.getBoundingClientRect().top + scrollY;
  }

  #later() {
    if (this.frame || this.root.hidden || !this.box) return;
    this.frame = requestAnimationFrame(() => { this.frame = 0; this.#draw(); });
  }

  /** Draw what is in sight, remove the rest, and fetch what is missing. */
  #draw(ahead = matchMedia('print').matches ? PAPER : AHEAD) {
    if (this.root.hidden || !this.box || !this.list?.months) return;
    const top = scrollY - this.#above();
    const [from, to] = [top - ahead, top + innerHeight + ahead];
    const seen = new Set();
    const heads = new Set();
    let [first, last] = [Infinity, 0];
    for (const section of this.box.sections) {
      if (section.top + section.height < from || section.top > to) continue;
      heads.add(section.month);
      if (!this.heads.has(section.month)) this.#head(section);
      const [start, end] = between(this.box, section, from, to);
      for (let i = start; i < end; i += 1) {
        seen.add(i);
        const item = this.list.item(i);
        if (item && !this.tiles.has(i)) this.#tile(section, i, item);
      }
      if (end > start) [first, last] = [Math.min(first, start), Math.max(last, end)];
    }
    for (const [i, tile] of this.tiles) if (!seen.has(i) && !tile.contains(document.activeElement)) { removed(tile); this.tiles.delete(i); }
    for (const [month, head] of this.heads) if (!heads.has(month)) { head.remove(); this.heads.delete(month); }
    this.#order();
    this.#fetch(first, last, top);
    this.scrubber.show(this.box, top, this.#above());
  }

  /** Put months and pictures into the order of reading, in which a screen reader goes through them; what has the focus is not moved. */
  #order() {
    const place = ({ index, first }) => index ?? first - 0.5;
    const nodes = [...this.root.children];
    if (nodes.every((node, i) => !i || place(nodes[i - 1]) <= place(node))) return;
    nodes.sort((a, b) => place(a) - place(b));
    const held = nodes.findIndex((node) => node.contains(document.activeElement));
    nodes.forEach((node, i) => (i < held ? this.root.insertBefore(node, nodes[held]) : i > held && this.root.append(node)));
  }

  #fetch(first, last, top) {
    clearTimeout(this.timer);
    const jumped = Math.abs(top - this.last) > innerHeight;
    this.last = top;
    if (last <= first) return;
    if (jumped) this.timer = setTimeout(() => this.list?.need(first, last), QUIET_MS);
    else this.list.need(first, last);
  }

  #head({ month, oldest, count, first, top }) {
    const name = month ? months(oldest, month) : t('undated');
    const head = el('li.month', { style: { top: `${top}px` } }, el('h2', {}, name, el('span', {}, number(count))));
    head.first = first;
    this.heads.set(month, head);
    this.root.append(head);
  }

  #tile(section, index, item) {
    const { start, top, side } = boxOf(this.box, section, index);
    const size = side * devicePixelRatio > 200 ? 512 : 256; // a square is cut from the middle, so the shorter side must be large enough
    const place = { 'inset-inline-start': `${start}px`, top: `${section.top + top}px`, width: `${side}px`, height: `${side}px` };
    const there = this.kept.get(item.id);
    if (there?.size === size) return this.#move(there, index, place);
    const image = el('img', { alt: '', decoding: 'async', draggable: 'false', src: thumbnail(item.id, size) });
    const label = item.captured_at ? t('takenAt', { name: item.name, date: date(item.captured_at) }) : item.name;
    const whole = isScene(item) ? t('tileVideo', { label, time: clock(item.time) }) : label;
    const tile = el('li.tile.square', { style: {
      ...place, ...(item.placeholder ? { 'background-image': `url("${item.placeholder}")` } : {}),
    } }, el('a.open', { href: write({ ...this.state, view: item.id }), 'aria-label': whole, tabindex: index === this.current ? 0 : -1 }, image, timeCode(item)));
    image.addEventListener('load', () => { tile.dataset.loaded = ''; }, { once: true });
    image.addEventListener('error', () => image.src && image.replaceWith(el('span.gone', {}, icon('broken'), t('gone'))));
    tile.firstChild.addEventListener('click', plainly(() => { this.#current(tile.index); this.open(item); }));
    Object.assign(tile, { index, picture: item.id, size });
    this.dress?.(tile, item);
    this.tiles.set(index, tile);
    this.root.append(tile);
    return tile;
  }

  /** Put a tile that was there before at its new place. */
  #move(tile, index, place) {
    this.kept.delete(tile.picture);
    if (tile.index === this.current && tile.contains(document.activeElement)) this.current = index;
    tile.index = index;
    tile.firstChild.tabIndex = index === this.current ? 0 : -1;
    setStyle(tile, place);
    this.tiles.set(index, tile);
    return tile;
  }

  #current(index) {
    const before = this.tiles.get(this.current);
    if (before) before.firstChild.tabIndex = -1;
    this.current = index;
    const tile = this.tiles.get(index);
    if (tile) tile.firstChild.tabIndex = 0;
  }

  /** Focus picture `index`, scrolled into sight. */
  async focusAt(index) {
    const section = sectionOf(this.box, index);
    const { top, side } = boxOf(this.box, section, index);
    const at = this.#above() + section.top + top;
    const head = document.querySelector('#top').getBoundingClientRect().bottom;
    if (at < scrollY + Math.max(0, head)) scrollTo(0, at - Math.max(0, head) - 60);
    else if (at + side > scrollY + innerHeight) scrollTo(0, at + side - innerHeight + 20);
    this.#draw();
    if (!this.list.item(index)) await this.list.range(index, index + 1);
    this.#draw();
    this.#current(index);
    this.tiles.get(index)?.firstChild.focus({ preventScroll: true });
  }

  #keys(event) {
    const tile = event.target.closest('li');
    if (tile?.index === undefined || event.altKey || event.metaKey || event.defaultPrevented) return;
    const forward = document.documentElement.dir === 'rtl' ? -1 : 1;
    const step = { ArrowRight: { right: forward }, ArrowLeft: { right: -forward }, ArrowDown: { down: 1 }, ArrowUp: { down: -1 } }[event.key];
    const ends = { Home: 0, End: this.box.count - 1 }[event.key];
    if (!step && ends === undefined) return;
    event.preventDefault();
    const to = step ? beside(this.box, tile.index, step) : ends;
    this.moved = this.focusAt(to);
  }
}
