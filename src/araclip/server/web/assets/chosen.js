/** What is done with chosen pictures: an archive, their paths, hiding them and taking that back. */

import { askForToken, download } from './api.js';
import * as api from './browsing-api.js';
import { onLanguage, t } from './i18n.js';
import { Selection } from './selection.js';
import { complain, fetched, toast } from './toast.js';

/**
 * Selection over results and timeline. `rights` gives what the server allows (["paths", "hide"]), `state` the page's state,
 * `changed` is called when pictures were hidden or shown again, `play` with pictures for a slideshow.
 */
export function chosenPictures({ grid, browse, rights, state, changed, play }) {
  const selection = new Selection(async (full) => {
    const bar = await fetched(import('./selection-bar.js'));
    if (!bar) return;
    const items = [...selection.items.values()]; // read after the import: calls that wait for it may end in any order
    const ids = items.map(({ id }) => id);
    const hidden = state().where.hidden === 'yes';
    bar.selectionBar(items, [
      ['play', t('slideshow'), () => play(items)],
      ['download', t('downloadAll'), () => attempt(() => save(ids))],
      ...(rights().includes('paths') ? [['copy', t('copyPaths'), () => attempt(() => copy(ids))]] : []),
      ...(rights().includes('hide') ? [[hidden ? 'show' : 'hide', t(hidden ? 'unhide' : 'hide'), () => attempt(() => hide(ids, !hidden))]] : []),
    ], () => selection.clear());
    if (full) toast(t('chosenMost', { n: items.length }));
  });

  async function hide(ids, hidden) {
    const { changed: n } = await api.hide(ids, hidden);
    selection.clear();
    changed();
    const back = { label: t('undo'), run: () => attempt(async () => { await api.hide(ids, !hidden); toast(t('undone')); changed(); }) };
    toast(t(hidden ? 'hiddenNow' : 'shownNow', { n }), back);
  }

  const { timeline } = browse;
  const dress = (tile, item) => selection.dress(tile, item);
  Object.assign(grid, { dress });
  Object.assign(timeline, { dress });
  selection.watch({
    root: grid.root, count: () => grid.shown.length, item: (i) => grid.shown[i],
    indexOf: (id) => grid.shown.findIndex((each) => each.id === id), range: async (first, last) => grid.shown.slice(first, last),
  });
  selection.watch({
    root: timeline.root, count: () => (browse.showing && timeline.list?.count) || 0, item: (i) => timeline.list.item(i),
    indexOf: (id) => timeline.list.indexOf(id), range: (first, last) => timeline.list.range(first, last), moved: () => timeline.moved,
  });
  onLanguage(() => selection.translate());
  return selection;
}

async function attempt(work) {
  try {
    await work();
  } catch (problem) {
    if (problem.status === 401) await askForToken();
    else complain(problem);
  }
}

async function save(ids) {
  const address = ids.length === 1 ? download(ids[0]) : (await api.archive(ids)).address;
  const link = document.createElement('a');
  Object.assign(link, { href: address, download: '' });
  link.click();
}

async function copy(ids) {
  const { paths } = await api.paths(ids);
  try {
    await navigator.clipboard.writeText(paths.join('\n'));
    toast(t('copiedPaths', { n: paths.length }));
  } catch {
    toast(t('notCopied'));
  }
}
