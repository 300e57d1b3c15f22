/** The results of one search, page by page, kept for a while so that going back costs nothing. */

import { search } from './api.js';
import { searchOf } from './address.js';

const CACHED = 12; // searches
const cache = new Map();

export class Results {
  /** The results of a state; those of an earlier visit when they are still here. */
  static of(state) {
    const key = searchOf(state);
    const found = cache.get(key) ?? new Results(state);
    cache.delete(key);
    cache.set(key, found);
    if (cache.size > CACHED) cache.delete(cache.keys().next().value);
    return found;
  }

  /** Forget everything: the gallery has changed. */
  static forget() {
    cache.clear();
  }

  constructor(state) {
    this.state = state;
    this.items = [];
    this.asked = 0;
    this.more = true;
    this.answered = false; // whether the first page is there
    this.pending = null;
  }

  /** How many of the items come before the first weak one. */
  get strong() {
    const first = this.items.findIndex(({ weak }) => weak);
    return first < 0 ? this.items.length : first;
  }

  /** Fetch the next page; two calls at once are one request. Throws a Problem. */
  next() {
    this.pending ??= this.#fetch().finally(() => { this.pending = null; });
    return this.pending;
  }

  async #fetch() {
    const page = await search(this.state, this.asked);
    // Left out: what is there already (a gallery that grows meanwhile shifts its pages), and the pictures asked with.
    const known = new Set([...this.items, ...this.state.like].map(({ id }) => id));
    this.items.push(...page.results.filter(({ id }) => !known.has(id)));
    this.asked += page.results.length;
    this.more = page.more && page.results.length > 0;
    this.answered = true;
  }
}
