/** «More like this part»: a box on the picture, drawn with mouse or finger, moved and sized with the arrow keys. */

import { button, el, setStyle } from './dom.js';
import { number, t } from './i18n.js';

const LEAST = 24; // least pixels of a side of the box on the screen
const SHARP = 224; // pixels that a model sees at least: a smaller part is cut from the original
const KEY_STEP = 16; // pixels of an arrow key
const ARROWS = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };
const CORNERS = [[0, 0], [1, 0], [0, 1], [1, 1]]; // shares of width and height

export class Crop {
  /** `search` is called with a canvas that shows the chosen part. */
  constructor(stage, photo, zoom, search) {
    Object.assign(this, { stage, photo, zoom, search, box: null });
    this.part = el('div.part', { tabindex: '0', role: 'application' },
      CORNERS.map(([x, y]) => el('span.corner', { 'data-x': x, 'data-y': y })));
    this.size = el('p', { role: 'status' });
    this.root = el('div.crop', { role: 'group', 'aria-label': t('similarPart'), hidden: true }, this.part,
      el('div.ask', {}, this.size,
        button('solid', 'search', null, () => this.#search(), t('searchPart')),
        button('quiet', 'close', null, () => this.close(), t('cancel'))));
    stage.append(this.root);
    this.root.addEventListener('pointerdown', (event) => this.#down(event));
    this.root.addEventListener('pointermove', (event) => this.#move(event));
    for (const name of ['pointerup', 'pointercancel']) this.root.addEventListener(name, () => { this.drag = null; this.#say(); });
    this.root.addEventListener('keydown', (event) => this.#keys(event));
    new ResizeObserver(() => { if (this.active) this.#put(this.box); }).observe(stage);
  }

  get active() {
    return !this.root.hidden;
  }

  /** Show a box on the middle of what is seen of the picture. */
  open() {
    this.root.hidden = false;
    this.zoom.locked = true;
    const { left, top, width, height } = this.#bounds();
    this.#put({ left: left + width / 4, top: top + height / 4, width: width / 2, height: height / 2 });
    this.#say();
    this.part.focus();
  }

  close() {
    if (!this.active) return;
    const inside = this.root.contains(document.activeElement);
    this.root.hidden = true;
    this.zoom.locked = false;
    this.drag = null;
    if (inside) this.stage.focus();
  }

  /** The part of the picture that the stage shows, in pixels of the stage. */
  #bounds() {
    const [frame, image] = [this.stage.getBoundingClientRect(), this.photo.image.getBoundingClientRect()];
    const [left, top] = [Math.max(0, image.left - frame.left), Math.max(0, image.top - frame.top)];
    const [right, bottom] = [Math.min(frame.width, image.right - frame.left), Math.min(frame.height, image.bottom - frame.top)];
    return { left, top, width: right - left, height: bottom - top };
  }

  /** Put the box at this place, moved and sized to lie inside the picture. */
  #put({ left, top, width, height }) {
    const bounds = this.#bounds();
    width = Math.min(Math.max(width, LEAST), bounds.width);
    height = Math.min(Math.max(height, LEAST), bounds.height);
    left = Math.min(Math.max(left, bounds.left), bounds.left + bounds.width - width);
    top = Math.min(Math.max(top, bounds.top), bounds.top + bounds.height - height);
    this.box = { left, top, width, height };
    setStyle(this.part, { transform: `translate(${left}px, ${top}px)`, width: `${width}px`, height: `${height}px` });
  }

  #say() {
    if (!this.active) return;
    const image = this.photo.image.getBoundingClientRect();
    const share = (part, whole) => number(part / whole, { style: 'percent', maximumFractionDigits: 0 });
    const said = t('partSize', { width: share(this.box.width, image.width), height: share(this.box.height, image.height) });
    this.size.textContent = said;
    this.part.setAttribute('aria-label', `${said} ${t('partKeys')}`);
  }

  #down(event) {
    if (event.button || event.target.closest('.ask')) return;
    event.preventDefault();
    this.root.setPointerCapture(event.pointerId);
    const at = this.#at(event);
    const { box } = this;
    const { x, y } = event.target.dataset;
    if (x) this.drag = { anchor: { x: box.left + (1 - x) * box.width, y: box.top + (1 - y) * box.height } };
    else if (event.target === this.part) this.drag = { from: at, box };
    else this.drag = { anchor: this.#inside(at) };
    this.part.focus({ preventScroll: true });
  }

  #move(event) {
    const { drag } = this;
    if (!drag) return;
    const at = this.#at(event);
    if (drag.from) this.#put({ ...drag.box, left: drag.box.left + at.x - drag.from.x, top: drag.box.top + at.y - drag.from.y });
    else {
      const [{ x, y }, to] = [drag.anchor, this.#inside(at)];
      this.#put({ left: Math.min(x, to.x), top: Math.min(y, to.y), width: Math.abs(x - to.x), height: Math.abs(y - to.y) });
    }
  }

  #at(event) {
    const { left, top } = this.stage.getBoundingClientRect();
    return { x: event.clientX - left, y: event.clientY - top };
  }

  #inside({ x, y }) {
    const { left, top, width, height } = this.#bounds();
    return { x: Math.min(Math.max(x, left), left + width), y: Math.min(Math.max(y, top), top + height) };
  }

  #keys(event) {
    if (event.target !== this.part) return;
    const [dx, dy] = (ARROWS[event.key] ?? []).map((step) => step * KEY_STEP);
    const { left, top, width, height } = this.box;
    if (event.key === 'Enter') this.#search();
    else if (dx === undefined) return;
    else if (event.shiftKey) this.#put({ left, top, width: width + dx, height: height + dy });
    else this.#put({ left: left + dx, top: top + dy, width, height });
    event.preventDefault();
    this.#say();
  }

  async #search() {
    const { image } = this.photo;
    const [frame, shown] = [this.stage.getBoundingClientRect(), image.getBoundingClientRect()];
    const share = {
      left: (this.box.left + frame.left - shown.left) / shown.width,
      top: (this.box.top + frame.top - shown.top) / shown.height,
      width: this.box.width / shown.width,
      height: this.box.height / shown.height,
    };
    if (Math.min(share.width * image.naturalWidth, share.height * image.naturalHeight) < SHARP) await this.photo.original();
    await image.decode().catch(() => {});
    if (!this.active) return; // closed meanwhile
    const { naturalWidth, naturalHeight } = image;
    const canvas = el('canvas');
    canvas.width = Math.max(1, Math.round(share.width * naturalWidth));
    canvas.height = Math.max(1, Math.round(share.height * naturalHeight));
    canvas.getContext('2d').drawImage(image, -share.left * naturalWidth, -share.top * naturalHeight);
    this.close();
    this.search(canvas);
  }
}
