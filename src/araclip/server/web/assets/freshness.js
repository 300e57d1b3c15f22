/** Results that keep up with a gallery that changes, without moving what is looked at. */

import { button } from './dom.js';
import { t } from './i18n.js';
import { Results } from './results.js';

const PAUSE_MS = 3000; // milliseconds between two looks while pictures are indexed

let shown = null;

/** The page's only Freshness. */
export const freshnessOf = (parts) => (shown ??= new Freshness(parts));

class Freshness {
  /** `results` gives the results that `grid` shows; `show` is called when they have changed, `bar` gets the hint. */
  constructor({ results, grid, show, bar }) {
    Object.assign(this, { results, grid, show, bar, looking: false, again: false });
  }

  /** The gallery has changed: look once, and once more afterwards if it changes meanwhile. */
  async changed() {
    this.again = true;
    if (this.looking) return;
    this.looking = true;
    while (this.again) {
      this.again = false;
      await this.#look();
      await new Promise((done) => { setTimeout(done, PAUSE_MS); });
    }
    this.looking = false;
  }

  /** Repeat the search and show its results, even if those in sight move. Throws a Problem. */
  async now() {
    Results.forget();
    const before = this.results();
    const fresh = await before.asked();
    if (this.results() !== before) return;
    before.take(fresh);
    this.forget();
    this.show();
  }

  /** Say the hint in the page's language. */
  translate() {
    if (this.hint) this.#offer(...this.offered);
  }

  /** Remove the hint. */
  forget() {
    this.hint?.remove();
    this.hint = null;
  }

  async #look() {
    const before = this.results();
    if (!before) return;
    let fresh;
    try {
      fresh = await before.asked();
    } catch { // the next change tries again
      return;
    }
    if (this.results() !== before || document.querySelector('#viewer[open]')) return;
    const at = before.items.findIndex(({ id }, i) => fresh.items[i]?.id !== id);
    const known = new Set(before.items.map(({ id }) => id));
    const last = fresh.items.findLastIndex(({ id }) => known.has(id)); // later pictures may not be new, but only have moved up
    const added = fresh.items.slice(0, last + 1).filter(({ id }) => !known.has(id)).length;
    const apply = () => {
      this.forget();
      before.take(fresh);
      this.show();
    };
    if (at < 0 || this.#isBelow(at, before)) apply();
    else this.#offer(added, apply);
  }

  /** Whether everything from a place on is below what can be seen. */
  #isBelow(at, { items }) {
    const tile = this.grid.tiles.get(items[Math.max(0, at - 1)].id); // the row of this tile may be laid out anew
    return tile ? at > 0 && tile.getBoundingClientRect().top > innerHeight : true;
  }

  #offer(added, apply) {
    this.forget();
    this.offered = [added, apply];
    this.hint = button('quiet.changed', 'retry', null, apply, added ? t('newPictures', { n: added }) : t('refresh'));
    this.bar.append(this.hint);
  }
}
