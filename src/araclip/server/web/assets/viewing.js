/** The viewer, fetched when a picture is about to be opened: the first results need not wait for it. */

import { styled } from './dom.js';
import { fetched } from './toast.js';

export class Viewing {
  /** `actions` as for `Viewer`. */
  constructor(actions) {
    Object.assign(this, { actions, viewer: null, asked: 0 });
    for (const name of ['pointerover', 'focusin']) {
      addEventListener(name, ({ target }) => { if (target.closest?.('.tile')) this.#load().catch(() => {}); }, { passive: true });
    }
  }

  /** As `Viewer.show`; at once if the viewer has been fetched. */
  show(...picture) {
    const asked = this.asked += 1;
    const show = () => { if (asked === this.asked) this.viewer.show(...picture); };
    if (this.viewer) show();
    else this.shown = fetched(this.#load()).then(() => (this.viewer ? show() : this.actions.close()));
  }

  /** As `Viewer.hide`. */
  hide() {
    this.asked += 1;
    this.viewer?.hide();
  }

  /** As `Viewer.play`, after `show`. */
  async play() {
    const { asked } = this;
    await this.shown;
    if (asked === this.asked) this.viewer?.play();
  }

  #load() {
    this.loading ??= this.#fetch().catch((error) => { this.loading = null; throw error; });
    return this.loading;
  }

  async #fetch() {
    const [{ Viewer }] = await Promise.all([import('./viewer.js'), styled('viewer.css')]);
    this.viewer = new Viewer(this.actions);
  }
}
