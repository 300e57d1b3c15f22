/** The scrubber beside a timeline: years along a track, a handle that goes to any month. */

import { $, el, setStyle } from './dom.js';
import { months, number, t } from './i18n.js';
import { sectionAt } from './month-layout.js';

const LEAST_SCREENS = 3; // a shorter timeline needs none
const LABEL = 26; // pixels between two years

export class Scrubber {
  /** `go` is called with a distance from the top of the timeline. */
  constructor(go) {
    this.go = go;
    this.years = el('div.years', { 'aria-hidden': 'true' });
    this.handle = el('div.handle', { role: 'slider', tabindex: 0, 'aria-orientation': 'vertical' }, el('span.bubble', { 'aria-hidden': 'true' }));
    this.track = el('div.scrubber', { hidden: true }, this.years, this.handle);
    document.body.append(this.track);
    this.track.addEventListener('pointerdown', (event) => this.#grab(event));
    this.track.addEventListener('pointermove', (event) => { if (this.held) this.#drag(event); });
    for (const name of ['pointerup', 'pointercancel']) this.track.addEventListener(name, () => { this.held = false; delete this.track.dataset.held; });
    this.handle.addEventListener('keydown', (event) => this.#keys(event));
  }

  /** Show where a timeline of this layout is scrolled to. */
  show(box, top, above) {
    this.track.hidden = box.height < LEAST_SCREENS * innerHeight || $('viewer').open;
    if (this.track.hidden) return;
    if (this.box !== box || this.high !== this.track.clientHeight || this.language !== document.documentElement.lang) this.#label(box);
    this.track.toggleAttribute('data-above', top < 0); // hides the scrubber above the timeline
    const most = Math.max(1, box.height + above - innerHeight);
    const section = sectionAt(box, Math.max(0, top));
    this.at = box.sections.indexOf(section);
    const name = section.month ? months(section.oldest, section.month) : t('undated');
    setStyle(this.handle, { top: `${Math.min(1, Math.max(0, top + above) / most) * this.high}px` });
    this.handle.firstChild.textContent = name;
    for (const [key, value] of [['label', t('scrub')], ['valuemin', 0], ['valuemax', box.sections.length - 1], ['valuenow', this.at], ['valuetext', name]]) this.handle.setAttribute(`aria-${key}`, value);
  }

  hide() {
    this.track.hidden = true;
  }

  #label(box) {
    Object.assign(this, { box, high: this.track.clientHeight, language: document.documentElement.lang });
    let [before, year] = [-LABEL, ''];
    const labels = [];
    for (const { month, top } of box.sections) {
      const y = (top / box.height) * this.high;
      if (!month || month.slice(0, 4) === year || y - before < LABEL) continue;
      [before, year] = [y, month.slice(0, 4)];
      labels.push(el('span', { style: { top: `${y}px` } }, number(Number(year), { useGrouping: false })));
    }
    this.years.replaceChildren(...labels);
  }

  #grab(event) {
    if (event.button) return;
    this.held = true;
    this.track.dataset.held = '';
    this.track.setPointerCapture(event.pointerId);
    this.#drag(event);
    event.preventDefault();
  }

  #drag({ clientY }) {
    const { top, height } = this.track.getBoundingClientRect();
    const share = Math.min(1, Math.max(0, (clientY - top) / height));
    this.go(share * Math.max(0, this.box.height - innerHeight / 2));
  }

  #keys(event) {
    const { sections } = this.box;
    const year = (at) => sections[at].month?.slice(0, 4);
    const far = (step) => {
      let at = this.at;
      while (sections[at + step] && year(at) === year(this.at)) at += step;
      return at;
    };
    const to = { ArrowDown: () => this.at + 1, ArrowUp: () => this.at - 1, PageDown: () => far(1), PageUp: () => far(-1), Home: () => 0, End: () => sections.length - 1 }[event.key]?.();
    if (to === undefined) return;
    event.preventDefault();
    if (sections[to]) this.go(sections[to].top);
  }
}
