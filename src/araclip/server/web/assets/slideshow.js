/** The slideshow: a picture every few seconds, once it has loaded; it waits while it is paused or the tab is hidden. */

import { button, el, icon } from './dom.js';
import { t } from './i18n.js';
import { ofDevice } from './storage.js';

const SECONDS = [3, 5, 10, 30];
const STORED = 'araclip.seconds';

export class Slideshow {
  /** `onward` is called for the next picture, `changed` on start and stop; `ready` gives the promise of the picture that is loading. */
  constructor({ onward, ready, changed }) {
    Object.assign(this, { onward, ready, changed, running: false, paused: false, turn: 0 });
    this.seconds = SECONDS.find((each) => String(each) === ofDevice.get(STORED)) ?? 5;
    document.addEventListener('visibilitychange', () => this.arm());
  }

  /** The controls (pause, seconds, end), which are seen while the slideshow runs. */
  controls() {
    this.pause = button('bare', 'pause', t('pause'), () => this.toggle());
    const choice = el('select', { 'aria-label': t('interval'), onchange: ({ target }) => this.#choose(Number(target.value)) },
      SECONDS.map((n) => el('option', { value: n, selected: n === this.seconds }, t('seconds', { n }))));
    return el('div.show', {}, this.pause, choice, button('bare', 'stop', t('endShow'), () => this.stop()));
  }

  start() {
    Object.assign(this, { running: true, paused: false });
    // The screen stays on; where the browser does not allow that, it goes dark as always.
    navigator.wakeLock?.request('screen').then((lock) => { if (this.running) this.lock = lock; else lock.release(); }, () => {});
    this.#draw();
    this.changed();
    this.arm();
  }

  stop() {
    if (!this.running) return;
    this.running = false;
    this.lock?.release();
    this.arm();
    this.changed();
  }

  /** Pause, or go on. */
  toggle() {
    this.paused = !this.paused;
    this.#draw();
    this.arm();
  }

  /** Begin to count the seconds of the picture that is shown, once it has loaded. */
  async arm() {
    clearTimeout(this.timer);
    const turn = this.turn += 1;
    await this.ready();
    if (turn !== this.turn || !this.running || this.paused || document.hidden) return;
    this.timer = setTimeout(this.onward, this.seconds * 1000);
  }

  #choose(seconds) {
    this.seconds = seconds;
    ofDevice.set(STORED, seconds);
    this.arm();
  }

  #draw() {
    const label = t(this.paused ? 'resume' : 'pause');
    this.pause.replaceChildren(icon(this.paused ? 'play' : 'pause'));
    this.pause.setAttribute('aria-label', label);
    this.pause.title = label;
  }
}
