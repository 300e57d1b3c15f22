/** The filter panel: native controls for the formats, folders and dates of the gallery. */

import { filterCount, isSearch, UNFILTERED } from './address.js';
import { nameOf } from './album-names.js';
import { $, button, el } from './dom.js';
import { bytes, date, isolated, language, listed, monthName, number, t } from './i18n.js';

const ORIENTATIONS = ['landscape', 'portrait', 'square'];
const SIZES = ['..100kB', '100kB..1MB', '1MB..']; // values of `--where size=`

export class Filters {
  /** `change` is called with { where, strong, collapse } or { sort }. */
  constructor(change) {
    Object.assign(this, { form: $('filters'), change, stats: null });
    $('sort').addEventListener('click', () => this.change({ sort: this.sort ? '' : 'date' }));
    this.form.addEventListener('submit', (event) => event.preventDefault());
    this.form.addEventListener('change', ({ target }) => { if (!unfinished(target)) this.#changed(); });
  }

  /** Build the controls, at start and when the gallery or the language has changed. */
  build(stats, state) {
    this.stats = stats;
    const built = JSON.stringify([language(), Object.keys(stats.formats ?? {}).sort(), [...stats.folders ?? []].sort(), stats.captured_at]);
    if (built === this.built) return this.sync(state); // unchanged: a control in use stays while pictures are indexed
    this.built = built;
    const formats = Object.keys(stats.formats ?? {});
    const folders = stats.folders ?? [];
    const [first, last] = (stats.captured_at ?? []).map((day) => day.slice(0, 10));
    const day = (name) => el('label', {}, el('span', {}, t(name)), el('input', { type: 'date', name, min: first, max: last }));
    this.form.replaceChildren(...[
      folders.length > 1 && group('folder', el('select', { name: 'folder', 'aria-label': t('folder') },
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
    const badge = $('filter-switch').querySelector('.badge');
    badge.textContent = filterCount(state) ? number(filterCount(state)) : '';
    badge.hidden = !filterCount(state);
    this.sort = state.sort;
    $('sort').setAttribute('aria-pressed', Boolean(state.sort));
    $('sort').hidden = !isSearch(state);
    if (!this.stats) return;
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

/** A filter in words. */
export function filterLabel(key, value) {
  if (key === 'sort') return t(value === 'oldest' ? 'oldest' : 'newest');
  const whole = { hidden: 'hiddenOnes', 'kind=video': 'videosOnly' };
  return whole[key] || whole[`${key}=${value}`] ? t(whole[key] ?? whole[`${key}=${value}`]) : `${keyLabel(key)}: ${valueLabel(key, value)}`;
}

/** Chips of the active filters: [{ label, rest }]. */
export function filterChips(state) {
  const out = Object.entries(state.where).map(([key, value]) => {
    const { [key]: removed, ...where } = state.where;
    return { label: filterLabel(key, value), rest: { where } };
  });
  if (state.strong) out.push({ label: t('strong'), rest: { strong: false } });
  if (!state.collapse) out.push({ label: t('unfolded'), rest: { collapse: true } });
  return out;
}

const keyLabel = (key) => (key === 'near' ? t('whereTaken') : ['album', 'folder', 'folder!', 'place', 'camera', 'lens', 'captured', 'month', 'day', 'added', 'format', 'orientation', 'size'].includes(key) ? t(key) : isolated(key.replace('meta.', '')));

function valueLabel(key, value) {
  if (key === 'orientation' && ORIENTATIONS.includes(value)) return t(value);
  if (key === 'size') return sizeLabel(value);
  if (key === 'album') return isolated(nameOf(value) || '…');
  if (key === 'near') return t('nearby', { place: listed(value.split(',').slice(0, 2).map((degrees) => number(Number(degrees), { maximumFractionDigits: 2 }))) });
  if (key === 'month') return value.split(',').map(monthName).join(' · ');
  if (key !== 'captured' && key !== 'added') return isolated(['format', 'day'].includes(key) ? value.replaceAll(',', ' · ') : value);
  const [first, last] = value.includes('..') ? value.split('..') : [value, value];
  if (!last) return t('since', { date: date(first) });
  if (!first) return t('until', { date: date(last) });
  return first === last ? date(first) : t('between', { first: date(first), last: date(last) });
}

function sizeLabel(range) {
  const [least, most] = range.split('..').map((end) => /^(\d+(?:\.\d+)?) ?([kMG])?B?$/i.exec(end));
  const format = (match) => bytes(Number(match[1]) * 1000 ** ' kmg'.indexOf((match[2] ?? ' ').toLowerCase()));
  if (least && most) return t('between', { first: format(least), last: format(most) });
  if (most) return t('upTo', { size: format(most) });
  return least ? t('over', { size: format(least) }) : isolated(range);
}

/** Whether the year of a date is still being typed: 2021 is 0002 after its first digit. */
const unfinished = ({ type, value }) => type === 'date' && value !== '' && value < '1000';

/** A date that a control can show: a whole one. */
const whole = (date) => (/^\d{4}-\d\d-\d\d$/.test(date) ? date : '');
const group = (label, ...controls) => el('fieldset', {}, el('legend', {}, t(label)), el('div', {}, controls));
const pill = (type, name, value, label) => el('label.pill', {}, el('input', { type, name, value }), el('span', {}, label));
