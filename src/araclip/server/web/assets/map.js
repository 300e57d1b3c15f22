/** Where pictures were taken: an outline of the coasts, which is part of the page, with the pictures in a grid upon it. */

import { thumbnail } from './api.js';
import { filterTexts, write } from './address.js';
import * as api from './browsing-api.js';
import { button, el, plainly, renew, setStyle, styled } from './dom.js';
import { language, number, t } from './i18n.js';
import { placed } from './placed.js';
import { fetched } from './toast.js';

const SVG = 'http://www.w3.org/2000/svg';
const CELLS = [16, 8, 4, 2, 1, 0.5, 0.25, 0.1, 0.05, 0.02, 0.01]; // degrees, as the server offers them
const APART = 64; // pixels between two groups of pictures
const NEAREST = 4096; // greatest scale; 1 shows the whole world
const EARTH = 6371; // km
let map;

/** Show the map of a state's pictures; a click on a group shows its pictures. */
export async function show(root, state, go) {
  if (!await fetched(styled('map.css'))) return; // without its styles the map would grow without end
  map ??= new PlacesMap(root);
  await map.show(state, go);
}

/** Let the next `show` ask the server again. */
export const forget = () => { if (map) map.stale = true; };

class PlacesMap {
  constructor(root) {
    const coasts = document.createElementNS(SVG, 'svg');
    const use = document.createElementNS(SVG, 'use');
    use.setAttribute('href', new URL('coasts.svg#land', import.meta.url));
    for (const [name, value] of [['width', 3600], ['height', 1800]]) use.setAttribute(name, value);
    coasts.append(use);
    coasts.setAttribute('aria-hidden', 'true');
    this.groups = el('ul', { role: 'list' });
    this.notice = el('p.soft', { role: 'status' });
    this.zoom = el('div.zoom');
    this.frame = el('div.world', { dir: 'ltr' }, coasts, this.groups, this.zoom);
    Object.assign(this, { root, coasts, scale: 1, x: 1800, y: 800, where: null, fingers: new Map() });
    this.frame.addEventListener('wheel', (event) => { event.preventDefault(); this.#zoom(event.deltaY < 0 ? 1.5 : 1 / 1.5, event); }, { passive: false });
    this.frame.addEventListener('pointerdown', (event) => this.#touch(event));
    new ResizeObserver(() => this.#draw()).observe(this.frame);
  }

  async show(state, go) {
    Object.assign(this, { state, go });
    if (this.language !== language()) {
      Object.assign(this, { language: language(), stale: true });
      this.root.replaceChildren(this.frame, this.notice, el('p.soft', {}, t('mapSource')));
      this.zoom.replaceChildren(button('bare', 'plus', t('zoomIn'), () => this.#zoom(2)), button('bare', 'minus', t('zoomOut'), () => this.#zoom(0.5)));
    }
    const where = filterTexts(state).join('\n');
    if (where === this.where && !this.stale) return;
    this.first ||= where !== this.where; // new pictures or another language leave the part of the world that is looked at
    Object.assign(this, { where, stale: false, cell: 0 });
    this.#draw();
  }

  /** Pixels on the screen for a tenth of a degree. */
  get pixel() {
    return (Math.max(this.frame.clientWidth, this.frame.clientHeight * 2) / 3600) * this.scale;
  }

  #draw() {
    const { clientWidth: wide, clientHeight: high } = this.frame;
    if (!wide) return;
    const [w, h] = [wide / this.pixel, high / this.pixel];
    this.x = Math.min(3600 - w / 2, Math.max(w / 2, this.x));
    this.y = h >= 1800 ? 900 : Math.min(1800 - h / 2, Math.max(h / 2, this.y));
    this.coasts.setAttribute('viewBox', `${this.x - w / 2} ${this.y - h / 2} ${w} ${h}`);
    this.left = this.x - w / 2;
    this.top = this.y - h / 2;
    this.#place();
    this.#fetch();
  }

  /** Put the groups on the map. A name that would lie on a picture or on the name of a larger group is not shown. */
  #place() {
    const items = [...this.groups.children];
    items.forEach((item) => this.#put(item));
    const taken = items.map((item) => item.getBoundingClientRect());
    for (const name of items.toSorted((a, b) => b.place.pictures - a.place.pictures).flatMap((item) => item.querySelector('small') ?? [])) {
      const box = name.getBoundingClientRect();
      const free = !taken.some((other) => overlap(box, other));
      setStyle(name, { visibility: free ? 'visible' : 'hidden' });
      if (free) taken.push(box);
    }
  }

  #put(item) {
    const { longitude, latitude } = item.place;
    const [left, top] = [((longitude + 180) * 10 - this.left) * this.pixel, ((90 - latitude) * 10 - this.top) * this.pixel];
    item.hidden = left < 0 || top < 0 || left > this.frame.clientWidth || top > this.frame.clientHeight;
    setStyle(item, { left: `${left}px`, top: `${top}px` });
  }

  async #fetch() {
    const degrees = APART / this.pixel / 10;
    const cell = CELLS.findLast((each) => each >= degrees) ?? CELLS[0];
    if (cell === this.cell) return;
    this.cell = cell;
    this.request?.abort();
    this.request = new AbortController();
    let found;
    try {
      found = await api.places(filterTexts(this.state), cell, this.request.signal);
    } catch (problem) {
      if (problem.name !== 'AbortError') { this.stale = true; this.notice.textContent = problem.detail || problem.title; }
      return;
    }
    this.notice.textContent = found.places.length ? t('pictures', { n: found.pictures }) : t('noPlaces');
    renew(this.groups, found.places.map((place) => this.#group(place)));
    if (this.first && found.places.length) {
      this.first = false;
      this.#fit(found.places);
    }
    this.#place();
  }

  /** Show the part of the world that holds all places. */
  #fit(places) {
    const [west, east] = [Math.min(...places.map(({ box }) => box[1])), Math.max(...places.map(({ box }) => box[3]))];
    const [south, north] = [Math.min(...places.map(({ box }) => box[0])), Math.max(...places.map(({ box }) => box[2]))];
    this.x = ((west + east) / 2 + 180) * 10;
    this.y = (90 - (south + north) / 2) * 10;
    const [w, h] = [Math.max(40, (east - west) * 14), Math.max(40, (north - south) * 14)];
    this.scale = 1;
    this.scale = Math.max(1, Math.min(128, this.frame.clientWidth / this.pixel / w, this.frame.clientHeight / this.pixel / h));
    this.#draw();
  }

  #group(place) {
    const [south, west, north, last] = place.box;
    const east = last < west ? last + 360 : last; // the group lies on both sides of the date line
    const middle = [(south + north) / 2, ((west + east) / 2 + 540) % 360 - 180];
    const farthest = Math.max(...[south, north].map((latitude) => distance(...middle, latitude, east))); // the corner nearer the equator
    const near = `${middle[0].toFixed(5)},${middle[1].toFixed(5)},${Math.max(0.1, farthest + 0.05).toFixed(2)}km`;
    const to = { where: { ...this.state.where, near }, show: '' };
    const degrees = [place.latitude, place.longitude].map((each) => number(each, { maximumFractionDigits: 2 })).join(t('comma'));
    const name = place.name && placed(place.name);
    const item = el('li', {}, el('a', {
      href: write({ ...this.state, view: '', ...to }), 'aria-label': `${t('pictures', { n: place.pictures })}${t('comma')}${name || degrees}`, title: name,
      draggable: 'false',
      onclick: plainly(() => { if (!this.moved) this.go(to); }),
    }, place.cover && el('img', { alt: '', src: thumbnail(place.cover, 256), decoding: 'async', draggable: 'false' }), el('b', {}, number(place.pictures)), name && el('small', {}, el('bdi', {}, name.split(/[،,]/)[0]))));
    item.place = place;
    return item;
  }

  #zoom(times, at) {
    const scale = Math.min(NEAREST, Math.max(1, this.scale * times));
    const { left, top, width, height } = this.frame.getBoundingClientRect();
    const [dx, dy] = at ? [at.clientX - left - width / 2, at.clientY - top - height / 2] : [0, 0];
    const before = this.pixel;
    this.scale = scale;
    this.x += dx / before - dx / this.pixel;
    this.y += dy / before - dy / this.pixel;
    this.#draw();
  }

  /** The mouse or a finger moves the map, two fingers zoom it. */
  #touch(event) {
    const { fingers } = this;
    if (event.button) return; // of a click that opens a menu, no end may be heard
    if (!fingers.size) this.moved = false;
    fingers.set(event.pointerId, event);
    if (fingers.size > 1) return;
    const move = (now) => {
      if (!fingers.has(now.pointerId) || (!this.moved && fingers.size < 2 && Math.hypot(now.clientX - event.clientX, now.clientY - event.clientY) < 5)) return;
      this.moved = true;
      const before = middle(fingers);
      fingers.set(now.pointerId, now);
      const to = middle(fingers);
      this.x -= (to.clientX - before.clientX) / this.pixel;
      this.y -= (to.clientY - before.clientY) / this.pixel;
      this.#zoom(to.apart / before.apart, to);
    };
    const end = ({ pointerId }) => {
      fingers.delete(pointerId);
      if (fingers.size) return;
      setTimeout(() => { this.moved = false; }); // after the click, if one follows
      for (const [name, heard] of heards) removeEventListener(name, heard);
    };
    const heards = [['pointermove', move], ['pointerup', end], ['pointercancel', end]];
    for (const [name, heard] of heards) addEventListener(name, heard);
  }
}

/** Whether two boxes share more than an edge. */
const overlap = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 1;

/** The point between fingers, and how far two are apart. */
function middle(fingers) {
  const [a, b = a] = fingers.values();
  return { clientX: (a.clientX + b.clientX) / 2, clientY: (a.clientY + b.clientY) / 2, apart: Math.max(1, Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY)) };
}

/** Kilometres between two points of the earth. */
function distance(south, west, north, east) {
  const rad = Math.PI / 180;
  const a = Math.sin(((north - south) * rad) / 2) ** 2 + Math.cos(south * rad) * Math.cos(north * rad) * Math.sin(((east - west) * rad) / 2) ** 2;
  return 2 * EARTH * Math.asin(Math.min(1, Math.sqrt(a)));
}
