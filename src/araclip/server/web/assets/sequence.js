/** The pictures that the viewer turns through: results, what is browsed by date, or pictures that were selected. */

export class Sequence {
  /**
   * `shown` gives the results; `more` says whether there are further ones, which `fetchMore` fetches. `browsed` gives what is shown
   * without a query (`first`, `item`, `position`, `from` as here), or a false value.
   */
  constructor({ shown, more, fetchMore, browsed }) {
    Object.assign(this, { shown, more, fetchMore, browsed, chosen: null });
  }

  /** Turn through these pictures only, until the viewer closes; null: through all. */
  choose(items) {
    this.chosen = items?.length ? items : null;
  }

  get first() {
    return this.#browsed ? this.#browsed.first : this.#items[0];
  }

  /** The picture with this id; { id } alone if no more is known of it. */
  item(id) {
    return this.#browsed ? this.#browsed.item(id) : this.#items.find((each) => each.id === id) ?? { id };
  }

  /** The place of a picture among the others, with its neighbours; null if it is none of them. */
  position(id) {
    if (this.#browsed) return this.#browsed.position(id);
    const items = this.#items;
    const at = items.findIndex((each) => each.id === id);
    if (at < 0) return null;
    return { at, all: items.length, more: this.#more, before: items[at - 1], after: items[at + 1] };
  }

  /** The picture `step` places from another one, fetched if need be; Infinity gives the last that was fetched, -Infinity the first. */
  async from(id, step) {
    if (this.#browsed) return this.#browsed.from(id, step);
    const at = this.#items.findIndex((each) => each.id === id);
    if (at < 0) return undefined;
    if (step === 1 && at + 1 >= this.#items.length && this.#more) await this.fetchMore(true);
    return step === Infinity ? this.#items.at(-1) : this.#items[step === -Infinity ? 0 : at + step];
  }

  get #browsed() {
    return !this.chosen && this.browsed();
  }

  get #items() {
    return this.chosen ?? this.shown();
  }

  get #more() {
    return !this.chosen && this.more();
  }
}
