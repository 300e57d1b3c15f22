/** The results of a search, fetched page by page; the latest searches are cached. */

import { copiesOf, search } from './api.js';
import { filterTexts, searchOf } from './address.js';
import { FAR } from './i18n.js';
import { split } from './query.js';

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
    this.revealed = false; // whether results that are all weak are shown
    this.interpretation = null; // how the server understood the query
    this.nothingFits = false; // as the server judges by the first row
    this.passing = null; // how many pictures pass the filters
  }

  /** How many of the items come before the first weak one. */
  get strong() {
    const first = this.items.findIndex(({ weak }) => weak);
    return first < 0 ? this.items.length : first;
  }

  /** The filters that results pass, as for the server: the state's, and those read from the query's words. A key that the words give twice is left out, but for folders to leave out. */
  get filters() {
    const read = (this.interpretation?.filters ?? []).filter(({ part, applied }) => applied && part !== 'order').flatMap(({ where }) => where);
    const keys = read.map((filter) => filter.split('=')[0]);
    return [...filterTexts(this.state), ...read.filter((_, i) => keys[i] === 'folder!' || keys.indexOf(keys[i]) === keys.lastIndexOf(keys[i]))];
  }

  /** Whether the query excludes something. */
  get excludes() {
    return Boolean(this.interpretation?.excluded.length) || split(this.state.q).some(({ sign }) => sign < 0);
  }

  /** Whether nothing is near enough to be shown unasked. */
  get hidden() {
    return !this.revealed && this.items.length > 0 && this.items.every(({ weak, relevance }) => weak && relevance < FAR);
  }

  /** Whether the results are ordered by date, since the query says nothing that a picture shows. */
  get dated() {
    return this.items.length > 0 && this.items.every(({ score }) => score === 0);
  }

  /** The key of the message that counts the results. How many pictures an exclusion leaves is known at the end of the list only. */
  get counted() {
    if (!this.dated) return 'shown';
    return !this.excludes ? 'pictures' : this.more ? 'rest' : 'listed';
  }

  /** Show the near-duplicates of these pictures beside them, and those of no others. Throws a Problem. */
  async unfold(ids) {
    this.unfolded = ids;
    this.items = this.items.filter(({ of }) => !of || ids.includes(of));
    for (const id of ids) {
      const shown = this.items.find((item) => item.id === id && !item.of);
      if (!shown?.near || this.items.some(({ of }) => of === id)) continue;
      const { results } = await copiesOf(id, this.filters);
      if (this.unfolded !== ids) return; // others were asked for meanwhile
      const known = new Set(this.items.map((item) => item.id));
      const copies = results.filter((copy) => !known.has(copy.id)).map((copy) => ({ ...copy, of: id, weak: shown.weak, near: 0 }));
      this.items.splice(this.items.indexOf(shown) + 1, 0, ...copies);
    }
  }

  /** Ask the same search again, for as many results, and return these. Throws a Problem. */
  async asked() {
    const fresh = new Results(this.state);
    do await fresh.next(); while (fresh.more && fresh.items.length < this.items.filter(({ of }) => !of).length);
    await fresh.unfold([...new Set(this.items.map(({ of }) => of).filter(Boolean))]);
    return fresh;
  }

  /** Take over the results of the same search asked again. */
  take({ items, offset, more, interpretation, nothingFits, passing }) {
    Object.assign(this, { items, offset, more, interpretation, nothingFits, passing });
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
    const { interpretation = null, nothing_found: nothingFits, passing, away } = page;
    if (!this.answered) Object.assign(this, { interpretation, nothingFits, passing, away });
    this.more = page.more && page.results.length > 0;
    this.answered = true;
  }
}
