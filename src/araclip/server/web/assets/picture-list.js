/** A long list of pictures by date. Its pages are fetched when they are looked at. */

import * as api from './browsing-api.js';

export const PAGE = 120;
const AT_ONCE = 3; // most requests at a time

export class PictureList {
  /** `filters` as for the server; `arrived` is called when a page has come, `failed` with a Problem. */
  constructor(filters, { arrived, failed }) {
    Object.assign(this, { filters, arrived, failed, pages: new Map(), places: new Map(), loading: new Map(), count: undefined });
  }

  /** Fetch the months with their counts, and at the same time the first page. */
  async open() {
    this.#fetch(0, true);
    const { months, pictures, generation } = await api.timeline(this.filters);
    Object.assign(this, { months, count: pictures, generation });
  }

  /** Picture `index`, if its page has come. */
  item(index) {
    return this.pages.get(Math.floor(index / PAGE))?.[index % PAGE];
  }

  /** The number of a picture, if its page has come; else -1. */
  indexOf(id) {
    return this.places.get(id) ?? -1;
  }

  /** Fetch the pages of pictures `first` to `last`, and drop requests for others. */
  need(first, last) {
    const wanted = new Set();
    for (let page = Math.floor(first / PAGE); page * PAGE < last; page += 1) wanted.add(page);
    for (const [page, { abort, held }] of this.loading) {
      if (wanted.has(page) || held) continue;
      abort.abort();
      this.loading.delete(page); // at once, for what is wanted now: no other call may come that asks for it
    }
    for (const page of wanted) if (!this.pages.has(page) && this.loading.size < AT_ONCE) this.#fetch(page);
  }

  /** The pictures `first` to `last`, fetched where they have not come. */
  async range(first, last) {
    for (let page = Math.floor(first / PAGE); page * PAGE < last; page += 1) if (!this.pages.has(page)) await this.#fetch(page, true);
    return Array.from({ length: last - first }, (_, i) => this.item(first + i)).filter(Boolean);
  }

  /** Fetch a page of the list; with `held`, it is waited for, even if another page is looked at meanwhile. */
  #fetch(page, held = false) {
    const loading = this.loading.get(page);
    if (loading) {
      loading.held ||= held;
      return loading.done;
    }
    const abort = new AbortController();
    const done = this.#get(page, abort);
    this.loading.set(page, { abort, done, held });
    return done;
  }

  async #get(page, abort) {
    try {
      const { results } = await api.pictures(this.filters, page * PAGE, PAGE, abort.signal);
      this.pages.set(page, results);
      results.forEach(({ id }, i) => this.places.set(id, page * PAGE + i));
    } catch (problem) {
      if (problem.name !== 'AbortError') this.failed(problem);
      return; // `arrived` is not called: a new drawing would ask for the page again at once, and without end
    } finally {
      if (this.loading.get(page)?.abort === abort) this.loading.delete(page);
    }
    this.arrived();
  }
}
