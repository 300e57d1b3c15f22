/** Swiping: the picture follows the finger, the next one comes in beside it; at the ends, and when let go early, it goes back. */

import * as api from './api.js';
import { el, setStyle } from './dom.js';
import { fit } from './photo.js';

const GAP = 24; // pixels between two pictures
const FAR = 0.25; // share of the width from which on a slow swipe turns
const FAST = 0.45; // pixels a millisecond: a swipe so fast turns before FAR
const LEAST = 24; // pixels of a flick
const DOWN = 110; // pixels to close
const GLIDE_MS = 180;
const STIFF = 0.3; // share of the finger's way, where there is no further picture

export class Swipe {
  /** `neighbour` gives the picture a step away: a result, null at the ends, undefined for one not fetched yet. */
  constructor(stage, figure, { turn, close, neighbour }) {
    Object.assign(this, { stage, figure, turn, close, neighbour });
    this.beside = el('img', { alt: '', draggable: 'false' });
    this.side = el('figure.side', { 'aria-hidden': 'true' }, this.beside);
    this.reset();
  }

  /** Put the picture back in its place. */
  reset() {
    this.shown = null;
    this.side.remove();
    this.#place(0, 0, false);
    this.stage.style.removeProperty('--away');
  }

  /** Let the picture follow a finger, which is so far from where it began; `down`: to close the viewer, else to turn. */
  follow(dx, dy, down) {
    if (down) {
      const away = Math.max(0, dy);
      this.#place(0, away, false);
      setStyle(this.stage, { '--away': Math.min(1, away / 400) });
      return;
    }
    const step = stepOf(dx);
    const item = this.neighbour(step);
    if (item && this.shown !== item.id) {
      this.shown = item.id;
      this.beside.src = api.thumbnail(item.id, 512);
      fit(this.beside, item);
    }
    if (!item) this.side.remove();
    else if (!this.side.isConnected) this.figure.after(this.side);
    this.#place(item === null ? dx * STIFF : dx, 0, false);
  }

  /** Turn, close or go back when the finger is lifted; `speed` in pixels a millisecond. */
  async release(dx, dy, down, speed) {
    const { offsetWidth } = this.stage;
    if (down) {
      if (dy > DOWN || (speed > FAST && dy > LEAST)) this.close();
      await this.#glide(0, 0);
      this.reset();
      return;
    }
    const step = stepOf(dx);
    const onward = Math.abs(dx) > FAR * offsetWidth || (Math.abs(dx) > LEAST && speed * Math.sign(dx) > FAST);
    const turns = onward && this.neighbour(step) !== null;
    const image = this.shown;
    await this.#glide(turns && image ? Math.sign(dx) * (offsetWidth + GAP) : 0, 0);
    if (turns) await this.turn(step);
    this.reset();
  }

  #place(x, y, glide) {
    const width = this.stage.offsetWidth + GAP;
    const styles = { transition: glide ? `transform ${GLIDE_MS}ms ease-out` : 'none' };
    setStyle(this.figure, { ...styles, transform: x || y ? `translate(${x}px, ${y}px)` : 'none' });
    const beside = x < 0 || (x === 0 && this.last < 0) ? x + width : x - width;
    setStyle(this.side, { ...styles, transform: `translateX(${beside}px)` });
    this.last = x || this.last;
  }

  #glide(x, y) {
    if (matchMedia('(prefers-reduced-motion: reduce)').matches) return Promise.resolve();
    this.#place(x, y, true);
    return new Promise((done) => { setTimeout(done, GLIDE_MS); });
  }
}

/** Onward (1) is against the direction of reading: in Arabic the finger goes from left to right. */
const stepOf = (dx) => (dx < 0 === (document.documentElement.dir === 'rtl') ? -1 : 1);
