/** The viewer: one large picture with its details, in a modal dialog, which traps the focus and closes on Escape. */

import * as api from './api.js';
import { $, button, el, icon, marked, setStyle } from './dom.js';
import { bytes, date, isolated, number, strength, t } from './i18n.js';
import { toast } from './toast.js';

const SWIPE = 50; // least pixels of a swipe

export class Viewer {
  /** Called: `turn` with -1 or 1, `close`, `similar` and `unlike` with a picture. */
  constructor({ turn, close, similar, unlike }) {
    Object.assign(this, { turn, similar, unlike, dialog: $('viewer'), id: '' });
    this.dialog.addEventListener('cancel', (event) => { event.preventDefault(); close(); });
    this.dialog.addEventListener('keydown', (event) => this.#keys(event));
    this.close = close;
    let from = 0;
    this.dialog.addEventListener('touchstart', (event) => { from = event.changedTouches[0].clientX; }, { passive: true });
    this.dialog.addEventListener('touchend', (event) => {
      const distance = event.changedTouches[0].clientX - from;
      if (Math.abs(distance) > SWIPE && event.target.closest('.stage')) this.turn(distance < 0 === rtl() ? -1 : 1);
    }, { passive: true });
  }

  /**
   * Show a picture: a result, or { id } alone. `position` is { at, all, more } among the results, or null; `asked` is the
   * query in words that found it, { q, literal, ignore }, or null where it is no words alone.
   */
  async show(item, position, asked) {
    this.request?.abort();
    this.request = new AbortController();
    this.id = item.id;
    const focusedKey = this.dialog.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    this.#draw(item, position);
    if (!this.dialog.open) this.dialog.showModal();
    (this.dialog.querySelector(`[data-key="${focusedKey}"]:not([disabled])`) ?? this.dialog.querySelector('[data-key=close]')).focus();
    try {
      const details = await api.details(item.id, this.request.signal);
      this.#describe({ ...item, ...details }, asked);
    } catch (error) {
      if (error.name !== 'AbortError') this.facts.replaceChildren(el('p.soft', { role: 'alert' }, error.detail || error.title || String(error)));
    }
  }

  hide() {
    this.request?.abort();
    this.id = '';
    if (this.dialog.open) this.dialog.close();
  }

  #draw(item, position) {
    const turning = (step, name, label, possible) => {
      const made = button(`turn.${name}`, name, label, () => this.turn(step));
      made.dataset.key = name;
      made.disabled = !possible;
      return made;
    };
    const close = button('bare.shut', 'close', t('close'), () => this.close());
    close.dataset.key = 'close';
    this.facts = el('div.facts');
    this.heading = el('h2', {}, el('bdi', {}, item.name ?? ''));
    this.dialog.replaceChildren(
      close,
      el('div.stage', {}, this.#image(item),
        position && turning(-1, 'previous', t('previous'), position.at > 0),
        position && turning(1, 'next', t('next'), position.at < position.all - 1 || position.more)),
      el('aside.about', { 'aria-label': t('details') },
        el('div', { 'aria-live': 'polite' }, position && el('p.soft', {}, t('position', { n: position.at + 1, all: position.all })), this.heading),
        this.#actions(item), this.facts));
  }

  #image(item) {
    const image = el('img', { alt: item.name ?? '', src: api.thumbnail(item.id, 512), draggable: 'false' });
    if (item.width) this.#fit(image, item);
    const original = new Image();
    original.src = api.picture(item.id);
    original.decode().then(() => { image.src = original.src; }, () => {
      if (this.id === item.id) this.facts.prepend(el('p.soft', {}, t('preview')));
    });
    return el('figure', item.placeholder ? { style: { '--placeholder': `url("${item.placeholder}")` } } : {}, image);
  }

  #fit(image, { width, height }) {
    Object.assign(image, { width, height });
    setStyle(image, { '--width': width, '--ratio': width / height });
  }

  #actions(item) {
    const link = el('a.quiet', { href: api.download(item.id), download: item.name ?? '' }, icon('download'), el('span', {}, t('download')));
    return el('div.actions', {},
      button('quiet', 'similar', null, () => this.similar(item), t('similar')),
      button('quiet', 'minus', null, () => this.unlike(item), t('unlike')),
      link);
  }

  #describe(item, asked) {
    const image = this.dialog.querySelector('.stage img');
    if (item.width && !image.style.getPropertyValue('--width')) this.#fit(image, item);
    this.heading.replaceChildren(el('bdi', {}, item.name));
    image.alt = item.name;
    const pixels = `${number(item.width)} × ${number(item.height)}`;
    const names = { name: t('matchedName'), metadata: t('matchedMetadata'), caption: t('matchedCaption'), ocr: t('matchedOcr') };
    const rows = [
      [t('relevance'), item.relevance !== null && item.relevance !== undefined && strength(item.relevance)],
      ...(item.matched ?? []).map((match) => [names[match.field], marked(match)]),
      [t('dimensions'), item.width && isolated(pixels)],
      [t('format'), item.format && [el('bdi', {}, item.format), item.bytes && ` · ${bytes(item.bytes)}`]],
      [t('captured'), item.captured_at && date(item.captured_at)],
      [t('added'), item.added && date(item.added.slice(0, 10))],
      [t('folder'), item.folder && el('bdi', {}, item.folder)],
      ...Object.entries(item.metadata ?? {}).map(([key, value]) => [el('bdi', {}, key), el('bdi', {}, [value].flat().join(' · '))]),
    ];
    const list = el('dl', {}, rows.filter(([, value]) => value).map(([name, value]) => el('div', {}, el('dt', {}, name), el('dd', {}, value))));
    const copies = item.copies?.length > 0 && el('details', {},
      el('summary', {}, t('copies', { n: item.copies.length })),
      el('ul', {}, item.copies.map((name) => el('li', {}, el('bdi', {}, name)))));
    const path = item.path && el('div.path', {}, el('code', { dir: 'ltr' }, item.path),
      button('quiet', 'copy', null, () => this.#copy(item.path), t('copyPath')));
    this.facts.append(...[list, asked?.q && this.#why(item, asked), copies, path].filter(Boolean));
  }

  /** What each word of the query adds, asked for when it is opened. */
  #why(item, asked) {
    const shares = el('div', { 'aria-live': 'polite' });
    const open = async ({ target }) => {
      if (!target.open || shares.childElementCount) return;
      try {
        const { words } = await api.explain(item.id, asked, this.request.signal);
        const most = Math.max(...words.map(({ share }) => Math.abs(share)), 1e-6);
        shares.replaceChildren(el('dl.shares', {}, words.map(({ word, share }) => el('div', {},
          el('dt', {}, el('bdi', {}, word)),
          el('dd', {}, el(share < 0 ? 'meter.against' : 'meter', { value: Math.abs(share) / most, 'aria-label': t('share', { word }) }))))));
      } catch (error) {
        if (error.name !== 'AbortError') shares.replaceChildren(el('p.soft', { role: 'alert' }, error.detail || error.title || String(error)));
      }
    };
    return el('details', { ontoggle: open }, el('summary', {}, t('why')), shares);
  }

  async #copy(path) {
    try {
      await navigator.clipboard.writeText(path);
      toast(t('copied'));
    } catch { // no https, or not allowed: the path is selected for Ctrl+C
      getSelection().selectAllChildren(this.facts.querySelector('code'));
      toast(t('notCopied'));
    }
  }

  #keys(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    this.turn(rtl() ? -step : step);
  }
}

const rtl = () => document.documentElement.dir === 'rtl';
