/** Choosing many pictures: with the mouse (a mark on each tile, Shift for a range), keyboard, or by holding a finger on one. */

import { button } from './dom.js';
import { t } from './i18n.js';

const MOST = 1000; // most pictures, as many as an archive may hold
const HOLD_MS = 450;
const ARROWS = ['ArrowLeft', 'ArrowRight', 'ArrowUp', 'ArrowDown', 'Home', 'End'];

export class Selection {
  /** `changed` is called when `items`, the chosen pictures, change; with true if there are MOST, or a range was cut to MOST. */
  constructor(changed) {
    Object.assign(this, { changed, items: new Map(), views: [], anchor: -1, before: null, turn: 0 });
    document.addEventListener('keydown', (event) => this.#everywhere(event));
  }

  /** Watch a view: { root, count(), item(i), indexOf(id), range(first, last), moved }. */
  watch(view) {
    const { root } = view;
    this.views.push(view);
    root.addEventListener('click', (event) => this.#click(view, event), true);
    root.addEventListener('keydown', (event) => this.#moving(view, event), true);
    root.addEventListener('keydown', (event) => this.#keys(view, event));
    root.addEventListener('pointerdown', (event) => this.#hold(view, event));
    root.addEventListener('contextmenu', (event) => { if (this.touched && event.target.closest('.tile')) event.preventDefault(); });
  }

  /** Give a new tile its mark. */
  dress(tile, item) {
    const mark = button('check', 'check', t('choose', { name: item.name }), () => {});
    mark.tabIndex = -1; // by keyboard: the space bar on the picture
    tile.dataset.id = item.id;
    tile.append(mark);
    this.#show(tile);
  }

  /** Choose none, when the page shows something else. */
  hide() {
    if (this.items.size) this.clear();
  }

  clear() {
    const held = document.getElementById('chosen')?.contains(document.activeElement); // the bar, which goes away, has the focus
    this.items.clear();
    this.anchor = -1;
    this.turn += 1;
    this.#redraw();
    if (held) this.#seen?.root.querySelector('.open[tabindex="0"]')?.focus({ preventScroll: true });
  }

  /** The view that is seen. */
  get #seen() {
    return this.views.find(({ root, count }) => root.offsetParent && count() > 0);
  }

  /** Say in the page's language what is chosen. */
  translate() {
    if (this.items.size) this.#redraw();
  }

  #show(tile) {
    const chosen = this.items.has(tile.dataset.id);
    tile.toggleAttribute('data-chosen', chosen);
    tile.querySelector('.check')?.setAttribute('aria-pressed', chosen);
    const link = tile.querySelector('.open');
    if (chosen) link.setAttribute('aria-description', t('chosen'));
    else link.removeAttribute('aria-description');
  }

  #redraw(full = false) {
    for (const { root } of this.views) for (const tile of root.querySelectorAll('.tile[data-id]')) this.#show(tile);
    document.body.toggleAttribute('data-choosing', this.items.size > 0);
    this.changed(full);
  }

  #toggle(view, id) {
    const at = view.indexOf(id);
    if (this.items.has(id)) this.items.delete(id);
    else if (this.items.size < MOST) this.items.set(id, view.item(at));
    Object.assign(this, { anchor: at, before: null, turn: this.turn + 1 });
    this.#redraw(this.items.size >= MOST);
  }

  /** Choose all between the anchor and a picture, beside what was chosen before the range began. */
  async #stretch(view, to) {
    const from = this.anchor < 0 ? to : this.anchor;
    this.before ??= new Map(this.items);
    const [first, last] = [Math.min(from, to), Math.max(from, to) + 1];
    const length = Math.min(last - first, MOST);
    const turn = this.turn += 1;
    const some = await view.range(from <= to ? first : last - length, from <= to ? first + length : last);
    if (turn !== this.turn) return; // something else was chosen meanwhile
    const items = new Map(this.before);
    for (const item of some) if (items.size < MOST) items.set(item.id, item);
    Object.assign(this, { items, anchor: from });
    this.#redraw(last - first > length || some.some((item) => !items.has(item.id)));
  }

  #click(view, event) {
    const tile = event.target.closest('.tile[data-id]');
    if (!tile || event.ctrlKey || event.metaKey) return;
    const marked = event.target.closest('.check');
    const held = this.held;
    this.held = false;
    if (!held && !marked && !(this.items.size && event.target.closest('.open'))) return;
    event.preventDefault();
    event.stopPropagation();
    if (held) return; // this click ends the holding of a finger
    if (event.shiftKey && this.anchor >= 0) this.#stretch(view, view.indexOf(tile.dataset.id));
    else this.#toggle(view, tile.dataset.id);
  }

  /** Remember where a range begins, before an arrow key moves the focus. */
  #moving(view, event) {
    const tile = event.target.closest('.tile[data-id]');
    if (!tile || !ARROWS.includes(event.key)) return;
    if (event.shiftKey && !this.before) this.anchor = view.indexOf(tile.dataset.id);
    if (!event.shiftKey) this.before = null;
  }

  async #keys(view, event) {
    const tile = event.target.closest('.tile[data-id]');
    if (!tile) return;
    if (event.key === ' ' && !event.altKey && !event.metaKey) {
      event.preventDefault();
      if (event.shiftKey && this.anchor >= 0) this.#stretch(view, view.indexOf(tile.dataset.id));
      else this.#toggle(view, tile.dataset.id);
    } else if (event.shiftKey && ARROWS.includes(event.key)) {
      await view.moved?.();
      const now = document.activeElement.closest('.tile[data-id]');
      if (now) this.#stretch(view, view.indexOf(now.dataset.id));
    }
  }

  #everywhere(event) {
    if (document.querySelector('dialog:modal') || event.target.closest('input, select, textarea')) return;
    const view = this.#seen;
    if (event.key === 'Escape' && this.items.size) this.clear();
    else if (view && (event.ctrlKey || event.metaKey) && isA(event)) {
      event.preventDefault();
      Object.assign(this, { anchor: 0, before: new Map() });
      this.#stretch(view, view.count() - 1);
    }
  }

  #hold(view, event) {
    this.touched = event.pointerType !== 'mouse';
    this.held = false; // the browser may have sent no click after holding, so the next click counts
    const tile = event.target.closest('.tile[data-id]');
    if (!this.touched || !tile) return;
    const stop = () => {
      clearTimeout(timer);
      for (const name of ['pointerup', 'pointercancel', 'pointermove']) removeEventListener(name, ended);
    };
    const ended = (after) => {
      if (after.type !== 'pointermove' || Math.hypot(after.clientX - event.clientX, after.clientY - event.clientY) > 12) stop();
    };
    const timer = setTimeout(() => {
      stop();
      this.held = true; // the click that follows is ignored
      setTimeout(() => { this.held = false; }, 1500);
      navigator.vibrate?.(10);
      this.#toggle(view, tile.dataset.id);
    }, HOLD_MS);
    for (const name of ['pointerup', 'pointercancel', 'pointermove']) addEventListener(name, ended);
  }
}

/** Whether a key is that of the letter A; in a layout without Latin letters, the key where most layouts have it. */
const isA = ({ key, code }) => (/^[a-z]$/i.test(key) ? key.toLowerCase() === 'a' : code === 'KeyA');
