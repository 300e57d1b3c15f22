/** The results of a search, fetched page by page; the latest searches are cached. */

import { search } from './api.js';
import { searchOf } from './address.js';

const CACHED = 12; // searches
const cache = new Map();

export class Results {
  /** The results of a state, from the cache if they are there. */
  static of(state) {
    const key = searchOf(state);
    const results = cache.get(key) ?? new Results(state);
    cache.delete(key);
    cache.set(key, results);
    if (cache.size > CACHED) cache.delete(cache.keys().next().value);
    return results;
  }

  /** Clear the cache, when the gallery has changed. */
  static forget() {
    cache.clear();
  }

  constructor(state) {
    this.state = state;
    this.items = [];
    this.offset = 0;
    this.more = true;
    this.answered = false; // whether the first page has arrived
    this.pending = null;
    this.interpretation = null; // how the server understood the query
  }

  /** How many of the items come before the first weak one. */
  get strong() {
    const first = this.items.findIndex(({ weak }) => weak);
    return first < 0 ? this.items.length : first;
  }

  /** Fetch the next page; concurrent calls share one request. Throws a Problem. */
  next() {
    this.pending ??= this.#fetch().finally(() => { this.pending = null; });
    return this.pending;
  }

  async #fetch() {
    const page = await search(this.state, this.offset);
    // Skips results that are shown already (pages shift when the gallery grows), and the pictures of the query.
    const skipped = new Set([...this.items, ...this.state.like].map(({ id }) => id));
    this.items.push(...page.results.filter(({ id }) => !skipped.has(id)));
    this.offset += page.results.length;
    if (!this.answered) this.interpretation = page.interpretation ?? null;
    this.more = page.more && page.results.length > 0;
    this.answered = true;
  }
}
