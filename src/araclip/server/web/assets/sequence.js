/** The pictures that the viewer turns through: those that the page shows, or some of them. */

export class Sequence {
  /** `shown` gives the pictures of the page; `more` says whether there are further ones, which `fetchMore` fetches. */
  constructor({ shown, more, fetchMore }) {
    Object.assign(this, { shown, more, fetchMore, chosen: null });
  }

  /** Turn through these pictures only; null: through all. */
  choose(items) {
    this.chosen = items?.length ? items : null;
  }

  get items() {
    return this.chosen ?? this.shown();
  }

  /** A picture by its id, as far as it is known. */
  item(id) {
    return this.items.find((each) => each.id === id) ?? { id };
  }

  /** Where a picture is among the others, with those beside it; null if it is none of them. */
  position(id) {
    const { items } = this;
    const at = items.findIndex((each) => each.id === id);
    if (at < 0) return null;
    return { at, all: items.length, more: !this.chosen && this.more(), before: items[at - 1], after: items[at + 1] };
  }

  /** The picture a step from another one, fetched if need be; Infinity is the last that is here, -Infinity the first. */
  async from(id, step) {
    const at = this.items.findIndex((each) => each.id === id);
    if (at < 0) return undefined;
    if (step === 1 && at + 1 >= this.items.length && !this.chosen && this.more()) await this.fetchMore(true);
    return step === Infinity ? this.items.at(-1) : this.items[step === -Infinity ? 0 : at + step];
  }
}
