/** Further results: scrolling fetches them while matches are good, then a button does. */

import { askForToken } from './api.js';
import { button } from './dom.js';
import { t } from './i18n.js';
import { complain } from './toast.js';

const AUTO_FETCH = 200; // results that scrolling fetches; further ones need a click

export class Paging {
  /** `results` gives the results that `grid` shows, `show` draws them anew; `isFree` says whether the focus may be moved. */
  constructor({ results, grid, show, isFree }) {
    Object.assign(this, { results, grid, draw: show, isFree });
    this.button = button('quiet.more', 'more', null, () => this.fetch(true), t('more'));
    this.near = new IntersectionObserver(([entry]) => { if (entry.isIntersecting) this.fetch(); }, { rootMargin: '600px' });
    this.show(false);
    grid.root.after(this.button);
  }

  /** Show the button, or hide it. */
  show(visible) {
    this.button.hidden = !visible;
    this.near.unobserve(this.button); // observing it again reports its new position
    this.near.observe(this.button);
  }

  translate() {
    this.button.lastChild.textContent = t('more');
  }

  /** Fetch the next page, if a person has asked for it or the matches are still good. */
  async fetch(clicked = false) {
    const current = this.results();
    if (!current?.more) return undefined;
    if (current.pending) return current.pending.catch(() => {}); // the first caller reports the error
    const weakReached = current.strong < current.items.length;
    if (!clicked && (weakReached || current.items.length >= AUTO_FETCH)) return undefined;
    this.button.setAttribute('aria-busy', true); // not disabled: the focus may be on it
    try {
      const before = this.grid.shown.length;
      await current.next();
      this.forgive?.();
      if (this.results() !== current) return undefined;
      this.draw();
      if (document.activeElement === document.body && clicked && this.isFree()) this.grid.focus(this.grid.shown[before]?.id);
    } catch (problem) {
      if (problem.status === 401) await askForToken();
      else this.forgive = complain(problem); // the button stays, for a retry
    } finally {
      this.button.removeAttribute('aria-busy');
    }
    return undefined;
  }
}
