/** The filter panel: native controls for the formats, folders and dates of the gallery. */

import { filterCount, UNFILTERED } from './address.js';
import { $, button, el } from './dom.js';
import { keyLabel, ORIENTATIONS, sizeLabel } from './filters.js';
import { language, t } from './i18n.js';

const SIZES = ['..100kB', '100kB..1MB', '1MB..']; // values of `--where size=`

export class FilterPanel {
  /** `change` is called with { where, strong, collapse }. */
  constructor(change) {
    Object.assign(this, { form: $('filters'), change });
    this.form.addEventListener('submit', (event) => event.preventDefault());
    this.form.addEventListener('change', ({ target }) => { if (!unfinished(target)) this.#changed(); });
  }

  /** Build the controls, when the panel is first opened and when the gallery or the language has changed. */
  build(stats, state) {
    const built = JSON.stringify([language(), Object.keys(stats.formats ?? {}).sort(), [...stats.folders ?? []].sort(), stats.captured_at]);
    if (built === this.built) return this.sync(state); // unchanged: a control in use stays while pictures are indexed
    this.built = built;
    const formats = Object.keys(stats.formats ?? {});
    const folders = stats.folders ?? [];
    const [first, last] = (stats.captured_at ?? []).map((day) => day.slice(0, 10));
    const day = (name) => el('label', {}, el('span', {}, t(name)), el('input', { type: 'date', name, min: first, max: last }));
    this.form.replaceChildren(...[
      folders.length > 1 && group('folder', el('select', { name: 'folder', 'aria-label': keyLabel('folder') },
        el('option', { value: '' }, t('any')), folders.map((folder) => el('option', { value: folder }, folder)))),
      first && group('captured', day('from'), day('to')),
      formats.length > 1 && group('format', ...formats.map((format) => pill('checkbox', 'format', format, el('bdi', {}, format)))),
      group('orientation', pill('radio', 'orientation', '', t('any')), ...ORIENTATIONS.map((name) => pill('radio', 'orientation', name, t(name)))),
      group('size', pill('radio', 'size', '', t('any')), ...SIZES.map((range) => pill('radio', 'size', range, sizeLabel(range)))),
      group('quality', pill('checkbox', 'strong', 'on', t('strong')), pill('checkbox', 'collapse', 'on', t('collapse')), el('small', {}, t('order'))),
      button('quiet.reset', 'close', null, () => this.#reset(), t('reset')),
    ].filter(Boolean));
    return this.sync(state);
  }

  /** Set the controls to the state. */
  sync(state) {
    if (!this.built) return;
    const { where } = state;
    const [from = '', to = ''] = where.captured?.includes('..') ? where.captured.split('..') : [where.captured, where.captured];
    const formats = (where.format ?? '').split(',');
    for (const control of this.form.elements) {
      const { name, value, type } = control;
      if (name === 'format') control.checked = formats.includes(value);
      else if (name === 'strong' || name === 'collapse') control.checked = state[name];
      else if (type === 'radio') control.checked = value === (where[name] ?? '');
      else if (name === 'folder') control.value = where.folder ?? '';
      else if (type === 'date') control.value = whole(name === 'from' ? from : to);
    }
    Object.assign(this, { where, read: this.#values() });
    this.form.querySelector('.reset').hidden = !filterCount(state);
  }

  #reset() {
    this.change(UNFILTERED);
    this.form.querySelector('input, select').focus(); // the button that had the focus is hidden now
  }

  /** The filters to which the controls are set. */
  #values() {
    const form = new FormData(this.form);
    const [from, to] = [form.get('from') ?? '', form.get('to') ?? ''];
    return {
      folder: form.get('folder'),
      captured: from === to ? from : `${from}..${to}`,
      format: form.getAll('format').join(','),
      orientation: form.get('orientation'),
      size: form.get('size'),
    };
  }

  #changed() {
    const form = new FormData(this.form);
    const where = { ...this.where };
    for (const [key, value] of Object.entries(this.#values())) {
      if (value === this.read[key]) continue; // a value that no control can show, such as a year, stays
      if (value) where[key] = value;
      else delete where[key];
    }
    this.change({ where, strong: form.has('strong'), collapse: form.has('collapse') });
  }
}

/** Whether the year of a date is still being typed: 2021 is 0002 after its first digit. */
const unfinished = ({ type, value }) => type === 'date' && value !== '' && value < '1000';

/** A date that a control can show: a whole one. */
const whole = (date) => (/^\d{4}-\d\d-\d\d$/.test(date) ? date : '');
const group = (label, ...controls) => el('fieldset', {}, el('legend', {}, label === 'quality' ? t(label) : keyLabel(label)), el('div', {}, controls));
const pill = (type, name, value, label) => el('label.pill', {}, el('input', { type, name, value }), el('span', {}, label));
