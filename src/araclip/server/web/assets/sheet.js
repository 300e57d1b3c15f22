/** The filters: a panel above the results, or on a phone a sheet from below, which a swipe, Escape or a tap outside closes. */

import { $ } from './dom.js';

const PHONE = matchMedia('(max-width: 46rem)');
const SWIPE = 80; // pixels downwards that close it

let sheet = null;

/** Open the sheet, or close it if it is open. */
export function toggleSheet() {
  sheet ??= new Sheet($('sheet'), $('filter-switch'), $('sheet-done'));
  if (sheet.dialog.open) sheet.dialog.close();
  else sheet.open();
}

class Sheet {
  /** `dialog` holds the panel, `opener` is its switch, `done` the button that closes the sheet. */
  constructor(dialog, opener, done) {
    Object.assign(this, { dialog, opener, from: null });
    done.addEventListener('click', () => dialog.close());
    dialog.addEventListener('close', () => {
      opener.setAttribute('aria-expanded', false);
      this.#move(0);
    });
    dialog.addEventListener('click', (event) => { if (event.target === dialog) dialog.close(); }); // a click on the backdrop
    dialog.addEventListener('keydown', (event) => { if (event.key === 'Escape') dialog.close(); }); // a panel is not modal: Escape alone does not close it
    dialog.addEventListener('touchstart', ({ touches: [touch] }) => { this.from = dialog.scrollTop > 0 ? null : touch.clientY; }, { passive: true });
    dialog.addEventListener('touchmove', ({ touches: [touch] }) => this.#move(this.#down(touch)), { passive: true });
    dialog.addEventListener('touchend', ({ changedTouches: [touch] }) => (this.#down(touch) > SWIPE ? dialog.close() : this.#move(0)), { passive: true });
    PHONE.addEventListener('change', () => {
      if (!dialog.open) return;
      dialog.close();
      this.open();
    });
  }

  open() {
    if (PHONE.matches) this.dialog.showModal();
    else this.dialog.show();
    this.opener.setAttribute('aria-expanded', true);
  }

  #down({ clientY }) {
    return this.from === null || !this.dialog.matches(':modal') ? 0 : Math.max(0, clientY - this.from);
  }

  #move(pixels) {
    this.dialog.style.translate = pixels ? `0 ${pixels}px` : '';
  }
}
