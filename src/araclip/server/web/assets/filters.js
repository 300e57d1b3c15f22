/** The filters that are set, in words and as chips; the panel with their controls is loaded when it is first opened. */

import { filterCount, isSearch } from './address.js';
import { nameOf } from './album-names.js';
import { $ } from './dom.js';
import { bytes, date, isolated, language, listed, monthName, number, t } from './i18n.js';

export const ORIENTATIONS = ['landscape', 'portrait', 'square'];
const labels = JSON.parse($('filters').dataset.labels); // KEY → { ar, en }: its name

export class Filters {
  /** `change` is called with { where, strong, collapse } or { sort }. */
  constructor(change) {
    Object.assign(this, { change, stats: null, panel: null });
    $('sort').addEventListener('click', () => change({ sort: this.state.sort ? '' : 'date' }));
  }

  /** Take the gallery's statistics, at start and when the gallery or the language has changed. */
  build(stats, state) {
    this.stats = stats;
    this.sync(state);
    this.panel?.build(stats, state);
  }

  /** Open the panel, or close it. */
  async open() {
    const [{ FilterPanel }, { toggleSheet }] = await Promise.all([import('./filter-panel.js'), import('./sheet.js')]);
    this.panel ??= new FilterPanel(this.change);
    if (this.stats) this.panel.build(this.stats, this.state);
    toggleSheet();
  }

  /** Set the switch of the panel, the order and the panel's controls to the state. */
  sync(state) {
    this.state = state;
    const badge = $('filter-switch').querySelector('.badge');
    badge.textContent = filterCount(state) ? number(filterCount(state)) : '';
    badge.hidden = !filterCount(state);
    $('sort').setAttribute('aria-pressed', Boolean(state.sort));
    $('sort').hidden = !isSearch(state);
    this.panel?.sync(state);
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

/** A filter's KEY in words; metadata by its own name. */
export const keyLabel = (key) => (key === 'album' ? t(key) : labels[key]?.[language()] || isolated(key.replace('meta.', '')));

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

export function sizeLabel(range) {
  const [least, most] = range.split('..').map((end) => /^(\d+(?:\.\d+)?) ?([kMG])?B?$/i.exec(end));
  const format = (match) => bytes(Number(match[1]) * 1000 ** ' kmg'.indexOf((match[2] ?? ' ').toLowerCase()));
  if (least && most) return t('between', { first: format(least), last: format(most) });
  if (most) return t('upTo', { size: format(most) });
  return least ? t('over', { size: format(least) }) : isolated(range);
}
