/** A gallery without pictures: the offer to index its folder, the pictures as they come, a folder that has none. */

import { askForToken, indexed, indexNow, thumbnail } from './api.js';
import { $, el } from './dom.js';
import { listed, t } from './i18n.js';
import { clearNotice, emptyNotice, howToFill, notice, problemNotice } from './notice.js';
import { causeOf, kindsOf } from './problems.js';

let drawn = 0; // a later drawing cancels an earlier one that still waits for its answer
let began = false; // whether the gallery was empty at first; one with pictures shows them, and new pictures among them

/** Show what a gallery without pictures, or one whose folder is being indexed, shows in place of results. */
export async function showFirstRun(stats) {
  const now = drawn += 1;
  let found;
  try {
    found = await indexed();
  } catch (problem) {
    if (problem.status !== 401) problemNotice(problem, () => showFirstRun(stats));
    return;
  }
  if (now === drawn) draw(found, stats);
}

/** Cancel a drawing that waits for its answer: the page shows something else. */
export const leaveFirstRun = () => { drawn += 1; };

function draw({ state, cause, folders, newest, unread }, stats) {
  began ||= !stats.pictures;
  const folder = listed(folders);
  const ask = (label) => ({ label, icon: 'search', run: () => start(stats) });
  if (state === 'running' && began) coming(folder, newest);
  else if (stats.pictures || state === 'running' || state === 'done') clearNotice();
  else if (state === 'offered') notice({ name: 'picture', title: t('unindexed', { folder }), detail: t('unindexedDetail'), action: ask(t('indexIt')) });
  else if (state === 'empty') notice({ name: 'empty', title: t('emptyFolder', { folder }), detail: emptyDetail(unread), action: ask(t('lookAgain')) });
  else if (state === 'failed') notice({ name: 'broken', title: t('stopped'), detail: causeOf(cause), action: { ...ask(t('retry')), icon: 'retry' }, alert: true });
  else emptyNotice();
}

/** What a folder without pictures has instead: files in formats that are not read, or nothing. */
function emptyDetail(unread = {}) {
  const kinds = Object.keys(unread).length > 0 && t('unread', { kinds: kindsOf(unread) });
  return el('div', {}, kinds && el('p', {}, kinds), el('p', {}, t('emptyFolderDetail')), howToFill());
}

/** Show the newest pictures; those that are shown already stay, so that nothing flickers. */
function coming(folder, newest) {
  const detail = t('comingDetail');
  if (!$('notice').querySelector('.coming')) {
    notice({ name: 'picture', title: t('coming', { folder }), detail: el('div', {}, el('p', {}, detail), el('ul.coming', { role: 'list' })) });
  }
  const list = $('notice').querySelector('ul.coming');
  const there = new Map([...list.children].map((item) => [item.dataset.id, item]));
  list.replaceChildren(...newest.map((id) => there.get(id)
    ?? el('li', { 'data-id': id }, el('img', { src: thumbnail(id, 256), alt: '', width: 96, height: 96, loading: 'lazy' }))));
}

async function start(stats) {
  try {
    draw(await indexNow(), stats);
  } catch (problem) {
    if (problem.status !== 401 && problem.status !== 403) problemNotice(problem, () => start(stats));
    else { await askForToken(); start(stats); }
  }
}
