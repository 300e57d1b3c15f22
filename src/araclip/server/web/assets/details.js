/** What is known of a picture: its facts, the texts in it, where it lies, its copies. Strangers' texts are isolated. */

import * as api from './api.js';
import { button, el, marked } from './dom.js';
import { bytes, clock, date, isolated, number, strength, t } from './i18n.js';
import { isScene } from './movie.js';
import { placed } from './placed.js';
import { said } from './problems.js';
import { toast } from './toast.js';

const REST_MS = 250; // milliseconds at a picture before its extras are asked for
const HEAD = 131_072; // bytes of a file in which its EXIF block lies
const ALIKE = 24; // near-duplicates that are shown
const FIVE = { minimumFractionDigits: 5, maximumFractionDigits: 5 }; // decimals of a degree: about a metre

/** The elements that show a picture with its details; `asked` is the query in words that found it, or null. */
export function details(item, asked, signal) {
  const pixels = `${number(item.width)} × ${number(item.height)}`;
  const names = { name: t('matchedName'), metadata: t('matchedMetadata'), caption: t('matchedCaption'), ocr: t('matchedOcr') };
  const rows = [
    [t('relevance'), item.relevance !== null && item.relevance !== undefined && strength(item.relevance)],
    ...(item.matched ?? []).filter((match) => !told(item, match)).map((match) => [names[match.field], marked(match)]),
    [t('moment'), isScene(item) && clock(item.time)],
    [t('captured'), item.captured_at && [date(item.captured_at), item.captured_by_name && ` (${t('fromName')})`].filter(Boolean)],
    [t('place'), item.place && el('bdi', {}, placed(item.place))],
    [t('coordinates'), typeof item.latitude === 'number' && typeof item.longitude === 'number' && coordinates(item)],
    [t('camera'), item.camera && el('bdi', {}, item.camera)],
    [t('lens'), item.lens && el('bdi', {}, item.lens)],
    [t('dimensions'), item.width && isolated(pixels)],
    [t('format'), item.format && [el('bdi', {}, item.format), item.bytes && ` · ${bytes(item.bytes)}`]],
    [t('added'), item.added && date(item.added.slice(0, 10))],
    [t('folder'), item.folder && el('bdi', {}, item.folder)],
    ...Object.entries(item.metadata ?? {}).map(([key, value]) => [el('bdi', {}, key), el('bdi', {}, [value].flat().join(' · '))]),
  ];
  const list = el('dl', {}, rows.filter(([, value]) => value).map(([name, value]) => row(name, value)));
  return [
    list,
    text(t('caption'), item, 'captions'),
    text(t('textInside'), item, 'ocr'),
    asked?.q && why(item, asked, signal),
    item.files?.length > 0 && files(item.files),
    item.path && where(item.path),
  ].filter(Boolean);
}

/** Add what takes longer, once a person has stayed at a picture: exposure and near-duplicates. What fails is left out. */
export async function extras(item, facts, signal, open) {
  await new Promise((rested) => { setTimeout(rested, REST_MS); });
  if (signal.aborted) return;
  const seen = (item.camera || item.captured_at) && !isScene(item) ? await exposureOf(item, signal).catch(() => '') : '';
  const after = [...facts.querySelectorAll('dt')].findLast((name) => [t('lens'), t('camera'), t('captured')].includes(name.textContent));
  if (seen && !signal.aborted) after?.parentNode.after(row(t('exposure'), el('bdi', { dir: 'ltr' }, seen)));
  const near = await api.near(item.id, signal).catch(() => []);
  if (near.length && !signal.aborted) facts.append(alike(near.slice(0, ALIKE), open));
}

async function exposureOf(item, signal) {
  const { exposure } = await import('./exif.js');
  return exposure(await api.beginning(item.id, HEAD, signal));
}

/** A problem, in the place of the details. */
export const failure = (error) => el('p.soft', { role: 'alert' }, said(error));

const row = (name, value) => el('div', {}, el('dt', {}, name), el('dd', {}, value));

function coordinates({ latitude, longitude }) {
  const plain = `${latitude.toFixed(5)},${longitude.toFixed(5)}`;
  return [
    el('a', { href: `geo:${plain}` }, // opens an installed program for maps
      `${isolated(number(latitude, FIVE))}${t('comma')}${isolated(number(longitude, FIVE))}`),
    copier(plain, t('copyCoordinates')),
  ];
}

/** The texts of a field, each with its own direction; words that were found are marked. */
function text(title, item, field) {
  const lines = (item.texts ?? []).filter((each) => each.field === field).flatMap((each) => each.text.split('\n'));
  if (!lines.length) return null;
  const found = (line) => (item.matched ?? []).find((match) => match.text === line);
  return el('section.text', {}, el('h3', {}, title, copier(lines.join('\n'), t('copyText'))),
    lines.map((line) => el('p', { dir: 'auto' }, found(line) ? [...marked(found(line)).childNodes] : line)));
}

/** Whether a text that matched is among the picture's texts, which are shown anyway. */
const told = (item, { text: matched }) => (item.texts ?? []).some((each) => each.text.split('\n').includes(matched));

/** A path: each part is isolated, so that Arabic names keep their place between the slashes. */
function where(path) {
  const windows = /^([a-z]:)?\\/i.test(path);
  const parts = path.split(windows ? /(\\)/ : /(\/)/);
  const code = el('code', { dir: 'ltr' }, parts.flatMap((part, i) => (i % 2 ? [part, el('wbr')] : el('bdi', {}, part))));
  return el('div.path', {}, code, button('quiet', 'copy', null, () => copy(path, code, t('copied')), t('copyPath')));
}

const copier = (plain, label) => button('bare.copier', 'copy', label, ({ currentTarget }) => copy(plain, currentTarget.parentNode, t('copiedOther')));

async function copy(plain, node, done) {
  try {
    await navigator.clipboard.writeText(plain);
    toast(done);
  } catch { // no https, or not allowed: the text is selected for Ctrl+C
    getSelection().selectAllChildren(node);
    toast(t('notCopied'));
  }
}

function files(exact) {
  const entry = ({ name, folder, path }) => el('li', { title: path }, el('bdi', {}, name), folder && [' · ', el('bdi', {}, folder)]);
  return el('details', {}, el('summary', {}, t('copies', { n: exact.length })), el('ul', {}, exact.map(entry)));
}

/** The section of near-duplicates, each of which can be opened. */
function alike(near, open) {
  const entry = (item) => el('li', {}, el('button', {
    type: 'button', onclick: () => open(item), title: item.name,
    'aria-label': t('nearCopy', { name: item.name, width: item.width, height: item.height }),
  }, el('img', { alt: '', loading: 'lazy', src: api.thumbnail(item.id, 256) }),
  el('span', {}, isolated(`${number(item.width)} × ${number(item.height)}`))));
  return el('section.alike', {}, el('h3', {}, t('nearCopies', { n: near.length })), el('ul', { role: 'list' }, near.map(entry)));
}

/** The section that says what each word of the query adds; the server is asked when the section is opened. */
function why(item, asked, signal) {
  const shares = el('div', { 'aria-live': 'polite' });
  const open = async ({ target }) => {
    if (!target.open || shares.childElementCount) return;
    try {
      const { words } = await api.explain(item.id, asked, signal);
      const most = Math.max(...words.map(({ share }) => Math.abs(share)), 1e-6);
      shares.replaceChildren(el('dl.shares', {}, words.map(({ word, share }) => row(el('bdi', {}, word),
        el(share < 0 ? 'meter.against' : 'meter', { value: Math.abs(share) / most, 'aria-label': t('share', { word }) })))));
    } catch (error) {
      if (error.name !== 'AbortError') shares.replaceChildren(failure(error));
    }
  };
  return el('details', { ontoggle: open }, el('summary', {}, t('why')), shares);
}
