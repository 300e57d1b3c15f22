/** Folders as nested albums: those at the top, or those in an album, with the trail of albums that leads there. */

import { thumbnail } from './api.js';
import { write } from './address.js';
import * as api from './browsing-api.js';
import { button, el, icon, plainly, renew } from './dom.js';
import { t } from './i18n.js';
import { named } from './album-names.js';
import { placed } from './placed.js';
import { fetched } from './toast.js';

let shown = '';
let asked = 0; // how often `show` has asked the server

/** Show the albums in the album that the state filters by, or at the top. */
export async function show(root, state, go) {
  const inside = state.where.album ?? '';
  const key = `${inside} ${document.documentElement.lang}`;
  if (shown === key) return;
  shown = key;
  const now = asked += 1;
  let [found, towns, parent] = [null, null, inside];
  try {
    [found, towns] = await Promise.all([api.folders(inside), inside ? { places: [] } : api.towns()]);
    const [only] = found.albums; // if one folder holds all others, those are shown
    if (!inside && found.albums.length === 1 && only.albums) {
      parent = only.key;
      found = { ...await api.folders(parent), trail: [] };
    }
  } catch (problem) {
    if (now !== asked) return;
    shown = '';
    root.replaceChildren(el('p.soft', { role: 'alert' }, problem.detail || problem.title));
    return;
  }
  if (now !== asked) return; // another album has been asked for since
  for (const { key: each, name } of found.trail) named(each, name);
  const link = (tag, to, label, ...children) => el(tag, {
    href: write({ ...state, view: '', ...to }) || './', 'aria-label': label,
    onclick: plainly(() => go(to)),
  }, ...children);
  const album = (each) => ({ where: { album: each }, show: '' });
  const trail = inside && el('nav.trail', { 'aria-label': t('albums') },
    link('a', { where: {}, show: 'albums' }, null, t('albums')),
    found.trail.flatMap(({ key: each, name }, i) => [icon('next'), i === found.trail.length - 1
      ? el('b', { 'aria-current': 'page' }, el('bdi', {}, name))
      : link('a', album(each), null, el('bdi', {}, name))]));
  const tile = (to, name, { pictures, cover }) => el('li', {}, link('a.card', to, `${name}${t('comma')}${t('pictures', { n: pictures })}`,
    cover && el('img', { alt: '', src: thumbnail(cover, 512), decoding: 'async', loading: 'lazy' }),
    el('span', {}, el('b', {}, el('bdi', {}, name)), el('small', {}, t('pictures', { n: pictures })))));
  const card = (each) => {
    named(each.key, each.name);
    return tile(album(each.key), each.name, each);
  };
  const town = (each) => tile({ where: { place: placed(each.name) }, show: '' }, placed(each.name), each);
  const list = el('ul', { role: 'list' }, found.albums.map(card));
  const more = found.more && button('quiet.more', 'more', null, async () => {
    more.disabled = true;
    const there = list.childElementCount;
    const next = await fetched(api.folders(parent, there));
    more.disabled = false;
    if (!next) return;
    list.append(...next.albums.map(card));
    more.hidden = !next.more;
    list.children[there]?.firstChild.focus();
  }, t('more'));
  const places = towns.places.length && [el('h2', {}, t('places')), el('ul', { role: 'list' }, towns.places.map(town))];
  renew(root, [trail, found.albums.length && list, more, ...places || [], !found.albums.length && !inside && el('p.soft', {}, t('noAlbums'))].filter(Boolean));
}

/** Let the next `show` ask the server again. */
export const forget = () => { shown = ''; };
