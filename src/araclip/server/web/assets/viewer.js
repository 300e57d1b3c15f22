/** The viewer: one large picture with its details, in a modal dialog, which traps the focus and closes on Escape. */

import * as api from './api.js';
import { details, extras, failure } from './details.js';
import { $, button, el, icon } from './dom.js';
import { Gestures } from './gestures.js';
import { number, onLanguage, t } from './i18n.js';
import { Movie } from './movie.js';
import { Photo, prefetch } from './photo.js';
import { Slideshow } from './slideshow.js';
import { Swipe } from './swipe.js';
import { fetched } from './toast.js';
import { Zoom } from './zoom.js';

const ZOOM_KEYS = { '+': 1, '=': 1, '-': -1, _: -1, '−': -1 };
const ARROWS = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };
const PAN = 80; // pixels of an arrow key
const TURN_KEYS = { PageUp: -1, PageDown: 1, Home: -Infinity, End: Infinity };

export class Viewer {
  /**
   * The functions in `actions`: `turn` takes a step (1, -1, Infinity to the last, -Infinity to the first), `open`, `similar` and
   * `unlike` take a picture, `part` takes a canvas that shows a part of one; `close` is called to close, `hidden` once closed.
   */
  constructor(actions) {
    Object.assign(this, { actions, dialog: $('viewer'), id: '', position: null });
    this.dialog.addEventListener('cancel', (event) => { event.preventDefault(); this.#escape(); });
    this.dialog.addEventListener('close', () => this.#close()); // Escape pressed twice may not be prevented
    this.dialog.addEventListener('keydown', (event) => this.#keys(event));
    document.addEventListener('fullscreenchange', () => this.#fullChanged());
    this.slideshow = new Slideshow({
      onward: () => this.#onward(), ready: () => this.photo.loading, changed: () => this.#showChanged(),
    });
    this.#build();
    onLanguage(() => this.#build());
  }

  /**
   * Show a picture: a result, or { id } alone. `position` is { at, all, more, before, after } among the results, with the pictures
   * beside it, or null; `asked` is the query in words that found it, { q, literal, ignore }, or null if the query is not only words.
   */
  async show(item, position, asked) {
    this.request?.abort();
    const { signal } = this.request = new AbortController();
    Object.assign(this, { id: item.id, position, closing: false });
    this.crop?.close();
    this.photo.show(item);
    this.movie.show(item);
    this.zoom.reset();
    this.#label(item, position);
    this.slideshow.arm();
    const focused = this.dialog.open ? document.activeElement : this.dialog.showModal();
    if (!focused || !this.dialog.contains(focused) || focused.matches(':disabled, dialog')) this.stage.focus();
    try {
      const whole = { ...item, ...await api.details(item.id, signal) };
      this.photo.describe(whole);
      this.movie.show(whole);
      this.zoom.to(this.zoom.scale);
      this.heading.replaceChildren(el('bdi', {}, whole.name));
      this.facts.append(...details(whole, asked, signal));
      this.slideshow.arm();
      this.photo.loading.then(() => { if (!signal.aborted) this.#prefetch(position); });
      if (!this.slideshow.running) await extras(whole, this.facts, signal, this.actions.open);
    } catch (error) {
      if (error.name !== 'AbortError') this.facts.replaceChildren(failure(error));
    }
  }

  hide() {
    this.request?.abort();
    this.id = '';
    this.movie.hide();
    this.actions.hidden();
    this.slideshow.stop();
    if (document.fullscreenElement) document.exitFullscreen();
    if (this.dialog.open) this.dialog.close();
  }

  /** Show the pictures one after the other, in full screen where the browser can. */
  play() {
    this.slideshow.start();
    this.stage.requestFullscreen?.().catch(() => {}); // without it, the window is filled
    this.stage.focus();
  }

  #build() {
    const keyed = (key, made) => { made.dataset.key = key; return made; };
    const tool = (key, name, label, act) => keyed(key, button('bare', name, label, act));
    const turning = (step, name, label) => keyed(name, button(`turn.${name}`, name, label, () => this.actions.turn(step)));
    this.image = el('img', { draggable: 'false' });
    this.figure = el('figure.photo', {}, this.image);
    this.previous = turning(-1, 'previous', t('previous'));
    this.next = turning(1, 'next', t('next'));
    this.level = keyed('fit', el('button.level', { type: 'button', onclick: () => this.zoom.double(this.zoom.middle) }));
    this.full = tool('full', 'full', t('fullScreen'), () => this.#toggleFull());
    this.full.hidden = !document.fullscreenEnabled;
    this.full.setAttribute('aria-pressed', false);
    this.controls = el('div.controls', { role: 'group', 'aria-label': t('controls') },
      tool('out', 'minus', t('zoomOut'), () => this.zoom.by(-1)), this.level, tool('in', 'plus', t('zoomIn'), () => this.zoom.by(1)),
      keyed('play', button('bare.play', 'play', t('slideshow'), () => this.play())), this.slideshow.controls(), this.full);
    this.stage = el('div.stage', { tabindex: '-1', role: 'group', 'aria-label': t('viewer') }, this.figure, this.controls);
    this.facts = el('div.facts');
    this.heading = el('h2');
    this.count = el('p.soft');
    this.bar = el('div.actions');
    this.about = el('aside.about', { 'aria-label': t('details') },
      el('div', { 'aria-live': 'polite' }, this.count, this.heading), this.bar, this.facts);
    this.photo = new Photo(this.image, () => this.facts.prepend(el('p.soft', {}, t('preview'))));
    this.movie = new Movie(this.figure, () => this.facts.prepend(el('p.soft', {}, t('notPlayed'))));
    this.zoom = new Zoom(this.stage, this.image, () => this.#zoomed());
    this.swipe = new Swipe(this.stage, this.figure, { turn: this.actions.turn, close: () => this.#close(), neighbour: (step) => this.#neighbour(step) });
    this.gestures = new Gestures(this.stage, this.zoom, this.swipe);
    this.crop = null;
    this.dialog.replaceChildren(keyed('close', button('bare.shut', 'close', t('close'), () => this.#close())), this.stage, this.about);
  }

  #label(item, position) {
    this.count.textContent = position ? t('position', { n: position.at + 1, all: position.all }) : '';
    this.heading.replaceChildren(el('bdi', {}, item.name ?? ''));
    for (const [made, possible] of [[this.previous, position?.at > 0], [this.next, position && this.#neighbour(1) !== null]]) {
      if (position) this.stage.append(made);
      else made.remove();
      made.disabled = !possible;
    }
    this.facts.replaceChildren();
    const { similar, unlike } = this.actions;
    this.bar.replaceChildren(
      button('quiet', 'similar', null, () => similar(item), t('similar')),
      button('quiet', 'crop', null, () => this.#openCrop(), t('similarPart')),
      button('quiet', 'minus', null, () => unlike(item), t('unlike')),
      el('a.quiet', { href: api.download(item.id), download: item.name ?? '' }, icon('download'), el('span', {}, t('download'))));
  }

  /** Open the box for a part of the picture; its module, which few use, is fetched when first needed. */
  async #openCrop() {
    const { id } = this;
    const cropping = await fetched(import('./crop.js'));
    if (!cropping || this.id !== id) return;
    this.crop ??= new cropping.Crop(this.stage, this.photo, this.zoom, this.actions.part);
    this.crop.open();
  }

  /** The picture a step away; null where there is none, undefined where it is not fetched yet. */
  #neighbour(step) {
    const { at, all, more, before, after } = this.position ?? { at: 0, all: 1 };
    return step > 0 ? after ?? (more || at < all - 1 ? undefined : null) : before ?? (at > 0 ? undefined : null);
  }

  #prefetch(position) {
    const { after, before } = position ?? {};
    if (after) prefetch(after);
    if (before && !this.slideshow.running) prefetch(before);
  }

  async #onward() {
    const { id } = this;
    await this.actions.turn(1);
    if (this.id === id) await this.actions.turn(-Infinity); // from the last one to the first
  }

  #zoomed() {
    const share = number(this.zoom.scale / this.zoom.real, { style: 'percent', maximumFractionDigits: 0 });
    this.level.textContent = share;
    this.level.setAttribute('aria-label', t('zoomLevel', { share }));
    this.photo.sharpen(this.zoom.pixels);
  }

  #showChanged() {
    this.dialog.toggleAttribute('data-playing', this.slideshow.running);
    this.about.inert = this.slideshow.running || Boolean(document.fullscreenElement);
    if (this.slideshow.running || !this.id) return;
    if (document.fullscreenElement) document.exitFullscreen();
    if (!this.dialog.contains(document.activeElement) || document.activeElement === this.dialog) this.stage.focus();
  }

  #toggleFull() {
    if (document.fullscreenElement) document.exitFullscreen();
    else this.stage.requestFullscreen?.().catch(() => {});
  }

  #fullChanged() {
    const full = Boolean(document.fullscreenElement);
    this.full.setAttribute('aria-pressed', full);
    if (!full) this.slideshow.stop();
    this.about.inert = full;
  }

  #escape() {
    if (this.crop?.active) this.crop.close();
    else if (this.slideshow.running) this.slideshow.stop();
    else this.#close();
  }

  /** Ask to be closed, only once, since closing goes back in the history. */
  #close() {
    if (!this.id || this.closing) return;
    this.closing = true;
    this.actions.close();
  }

  #keys(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || event.target.closest('select, input, video, .crop')) return;
    const act = this.#actionOf(event);
    if (!act) return;
    event.preventDefault();
    act();
  }

  #actionOf({ key, shiftKey, target }) {
    const reading = target.closest('.about'); // in the details, keys that scroll the text do so
    const { turn } = this.actions;
    if (ZOOM_KEYS[key]) return () => this.zoom.by(ZOOM_KEYS[key]);
    if (key === '0' || key === '٠') return () => this.zoom.to(1);
    if (ARROWS[key]) {
      const [x, y] = ARROWS[key];
      if (this.zoom.zoomed && !reading) return () => this.zoom.pan(-x * PAN, -y * PAN);
      return x ? () => turn(rtl() ? -x : x) : null;
    }
    if (reading) return null;
    if (key === ' ' && !target.closest('button')) return this.slideshow.running ? () => this.slideshow.toggle() : () => turn(shiftKey ? -1 : 1);
    return TURN_KEYS[key] ? () => turn(TURN_KEYS[key]) : null;
  }
}

const rtl = () => document.documentElement.dir === 'rtl';
