/** The page of a link to one search. Its token stands behind the # of the address, which browsers send to nobody. */

import { request } from './api.js';
import { $, button, el, icon, loadIcons, setStyle } from './dom.js';
import { day, language, onLanguage, setLanguage, t, translate } from './i18n.js';
import { heightFor, justify, ratioOf } from './layout.js';

const PAGE = 120;
const GAP = 8;
const SWIPE = 50; // pixels: to the next picture, or down to close
const token = location.hash.slice(1);
const base = `shared/${encodeURIComponent(token)}`;
const items = [];
let [about, at, coming] = [null, -1, null];

/** Fetch the next pictures; whoever asks while they come waits for the same ones. */
function fetchMore() {
  coming ??= fetchNext().finally(() => { coming = null; });
  return coming;
}

async function fetchNext() {
  $('rest').disabled = true;
  try {
    about = await request(`${base}/pictures?k=${PAGE}&offset=${items.length}`);
    items.push(...about.results);
    draw();
  } catch ({ title, detail }) {
    if (items.length) { $('rest').hidden = true; return; }
    $('notice').replaceChildren(el('div.notice', { role: 'alert' }, icon('broken'), el('h2', {}, title), el('p', {}, detail)));
  } finally {
    $('rest').disabled = false;
  }
}

function draw() {
  translate(document);
  if (!about) return;
  const title = about.query || t('sharedTitle');
  document.title = `${title} – AraCLIP`;
  $('title').replaceChildren(el('bdi', {}, title));
  $('until').textContent = `${t('pictures', { n: about.pictures })} · ${t('sharedUntil', { date: day(about.expires) })}`;
  $('rest').hidden = items.length >= about.pictures;
  const width = $('pictures').clientWidth;
  const { boxes, height } = justify(items.map(ratioOf), { width, target: heightFor(width), gap: GAP });
  $('pictures').replaceChildren(...items.map((item, i) => tile(item, i, boxes[i])));
  setStyle($('pictures'), { height: `${height}px` });
}

function tile({ id, name, placeholder }, i, { start, top, width, height }) {
  const image = el('img', { alt: '', loading: 'lazy', decoding: 'async', src: `${base}/thumbnails/${id}?size=512` });
  const made = el('li.tile', { style: {
    'inset-inline-start': `${start}px`, top: `${top}px`, width: `${width}px`, height: `${height}px`,
    ...(placeholder ? { 'background-image': `url("${placeholder}")` } : {}),
  } }, el('button.open', { type: 'button', 'aria-label': name, onclick: () => show(i) }, image));
  setStyle(made.firstChild, { width: '100%', padding: '0' });
  image.addEventListener('load', () => { made.dataset.loaded = ''; }, { once: true });
  return made;
}

async function show(i) {
  if (i < 0 || i >= items.length) return;
  at = i;
  const { id, name } = items[i];
  const image = el('img.large', { alt: name, src: `${base}/thumbnails/${id}?size=1600` });
  setStyle(image, { 'background-image': `url("${base}/thumbnails/${id}?size=512")` }); // is there while the large one comes
  const focused = [...$('viewer').querySelectorAll('.below > *')].indexOf(document.activeElement);
  $('viewer').replaceChildren(image, el('div.below', {},
    button('bare', 'close', t('close'), () => $('viewer').close()), button('bare', 'previous', t('previous'), () => show(at - 1)),
    el('bdi', {}, name), button('bare', 'next', t('next'), () => show(at + 1)),
    el('a.quiet', { href: `${base}/images/${id}?download=1`, download: name }, icon('download'), el('span', {}, t('download')))));
  if (!$('viewer').open) $('viewer').showModal();
  else $('viewer').querySelectorAll('.below > *')[Math.max(0, focused)].focus(); // the keys are heard in the dialog alone
  if (i > items.length - 10 && items.length < about.pictures) await fetchMore();
}

$('viewer').addEventListener('keydown', ({ key }) => {
  const forward = document.documentElement.dir === 'rtl' ? -1 : 1;
  if (key === 'ArrowRight' || key === 'ArrowLeft') show(at + (key === 'ArrowRight' ? forward : -forward));
});
let from = null; // where a finger touched
$('viewer').addEventListener('touchstart', ({ touches }) => { from = touches.length === 1 ? touches[0] : null; }, { passive: true });
$('viewer').addEventListener('touchend', ({ changedTouches: [to] }) => {
  if (!from || visualViewport?.scale > 1) return;
  const [across, down] = [to.clientX - from.clientX, to.clientY - from.clientY];
  if (down > SWIPE && down > 2 * Math.abs(across)) $('viewer').close();
  else if (Math.abs(across) > SWIPE && Math.abs(across) > 2 * Math.abs(down)) show(at + ((across > 0) === (document.documentElement.dir === 'rtl') ? 1 : -1));
});
$('viewer').addEventListener('close', () => $('pictures').children[at]?.firstChild.focus());
$('rest').addEventListener('click', fetchMore);
$('language').addEventListener('click', () => setLanguage(language() === 'ar' ? 'en' : 'ar'));
onLanguage(() => (about ? draw() : fetchMore()));
addEventListener('resize', draw);
addEventListener('hashchange', () => location.reload());
translate(document);
loadIcons();
fetchMore();
