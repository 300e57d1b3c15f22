/** The page: maps actions to URLs, and shows the state that the URL holds. */

import * as api from './api.js';
import { filterCount, isSearch, read, searchOf, write } from './address.js';
import { Browse } from './browse.js';
import { Chips } from './chips.js';
import { $, button, el } from './dom.js';
import { Filters, filterChips } from './filters.js';
import { Grid } from './grid.js';
import { leaveFirstRun, showFirstRun } from './firstrun.js';
import { showHome } from './home.js';
import { language, onLanguage, setLanguage, t, translate } from './i18n.js';
import { listenForPictures } from './intake.js';
import { nothingNotice, problemNotice } from './notice.js';
import { storePicture } from './pictures.js';
import { Progress } from './progress.js';
import { recent, remember } from './recent.js';
import { Results } from './results.js';
import { Sequence } from './sequence.js';
import { showTheme, startTheme } from './theme.js';
import { toast } from './toast.js';
import { askForToken } from './token.js';
import { Understood } from './understood.js';
import { Viewer } from './viewer.js';

const LOADING_DELAY_MS = 200; // responses within this time show no loading message
const AUTO_FETCH = 200; // results that scrolling fetches; further ones need a click
const AS_READ = { literal: false, ignore: [] }; // a new query is understood again
let state = read(location.search);
let shownSearch = null; // the search whose results the page shows
let [results, stats] = [null, null];

const grid = new Grid($('results'), { open: (item) => go({ view: item.id }), similar: (item) => moreLike(item) });
const sequence = new Sequence({ shown: () => grid.shown, more: () => Boolean(results?.more), fetchMore, browsed: () => browse.showing && browse });
const viewer = new Viewer({
  turn, close: closeViewer, hidden: () => sequence.choose(null), similar: (item) => moreLike(item), unlike: (item) => lessLike(item),
  part: (canvas) => searchByPicture(canvas, AS_READ, ''), open: ({ id }) => go({ view: id }),
});
const chips = new Chips(go);
const understood = new Understood(go);
const filters = new Filters(go);
const browse = new Browse({ go, dress: () => {}, failed: (problem) => { if (stats) failed(problem, again); } });
const progress = new Progress(galleryChanged, () => { if (stats && !isSearch(state)) showFirstRun(stats); });
const moreButton = button('quiet.more', 'more', null, () => fetchMore(true), t('more'));
const near = new IntersectionObserver(([button]) => { if (button.isIntersecting) fetchMore(); }, { rootMargin: '600px' });
$('results').after(moreButton);

// ------------------------------------------------------------------ from actions to the URL

/** Change a part of the state, and the URL with it. */
function go(change, { replace = false } = {}) {
  const next = { ...state, view: '', ...change };
  if (write(next) === write(state)) return;
  history.replaceState({ ...history.state, scroll: scrollY }, '');
  history[replace ? 'replaceState' : 'pushState']({ inside: true }, '', write(next) || './');
  arrive();
}

const moreLike = (item) => go({ ...AS_READ, q: '', pictures: [], like: [{ id: item.id, weight: 1 }] });
const lessLike = (item) => go({ like: [...state.like.filter(({ id }) => id !== item.id), { id: item.id, weight: -1 }] });

function closeViewer() {
  return history.state?.inside ? history.back() : go({ view: '' }, { replace: true });
}

/** Show the picture so many steps from the current one. */
async function turn(step) {
  const item = await sequence.from(state.view, step);
  if (!item || item.id === state.view || !state.view) return;
  history.replaceState(history.state, '', write({ ...state, view: item.id }));
  arrive();
}

/** The slideshow of what the page shows, or of some pictures. */
function play(items = null) {
  sequence.choose(items);
  go({ view: sequence.first?.id ?? '' });
  if (state.view) viewer.play();
}

async function searchByPicture(file, change = {}, q = $('query').value.trim()) {
  const id = await storePicture(file).catch(() => null); // not a picture, or a format unknown to the browser
  if (!id) toast(`${t('badPicture')}. ${t('badPictureDetail')}`);
  else go({ ...change, q, pictures: [{ id, weight: 1 }], like: [] });
}

// ------------------------------------------------------------------ from the URL to the page

/** Show the state that the URL holds. */
async function arrive({ scroll } = {}) {
  const before = state;
  state = read(location.search);
  const search = searchOf(state);
  if (search !== shownSearch) {
    shownSearch = search;
    viewer.hide();
    $('query').value = state.q;
    showFrame();
    if (isSearch(state)) await run();
    else clearResults();
    scrollTo(0, scroll ?? 0);
  }
  if (state.view) showPicture();
  else if (before.view) {
    viewer.hide();
    (browse.showing ? browse : grid).focus(before.view);
  }
}

/** Draw everything around the results. */
function showFrame() {
  const home = !isSearch(state) && !filterCount(state);
  document.body.dataset.page = home ? 'home' : 'results';
  document.title = state.q ? `${state.q} – AraCLIP` : t('title');
  $('clear').hidden = !$('query').value;
  [$('home').hidden, $('bar').hidden] = [!home, home];
  chips.show(state, filterChips(state));
  filters.sync(state);
  $('earlier').replaceChildren(...recent().map((text) => el('option', { value: text })));
  if (home) showHome(state, stats, (q) => go({ ...AS_READ, q }));
  browse.show(state, stats);
}

/** Clear the results. */
function clearResults() {
  results = null;
  understood.show(state, null);
  grid.clear();
  moreButton.hidden = true;
  if (stats && !isSearch(state) && (!stats.pictures || progress.running)) showFirstRun(stats); else leaveFirstRun();
  browse.count();
}

async function run() {
  const current = Results.of(state);
  results = null; // the grid still shows those of the last search
  grid.cancelLoading();
  const late = setTimeout(() => { $('main').dataset.late = ''; $('count').textContent = t('loading'); }, LOADING_DELAY_MS);
  $('main').setAttribute('aria-busy', true);
  const outdated = () => searchOf(state) !== searchOf(current.state); // another search has started
  try {
    if (!current.answered) await current.next();
    if (outdated()) return;
    results = current;
    $('bar').querySelector('.changed')?.remove();
    leaveFirstRun();
    if (state.q) remember(state.q);
    show();
  } catch (problem) {
    if (outdated()) return;
    clearResults();
    failed(problem, again);
  } finally {
    clearTimeout(late);
    if (!outdated()) {
      delete $('main').dataset.late;
      $('main').setAttribute('aria-busy', false);
    }
  }
}

/** Repeat the current search. */
function again() {
  Results.forget();
  shownSearch = null;
  leaveFirstRun();
  return arrive();
}

function show() {
  const shown = grid.show(results);
  understood.show(state, results.interpretation);
  const weak = shown.length > 0 && shown[0].weak;
  const all = Math.max(stats?.pictures ?? 0, shown.length);
  $('count').textContent = weak ? t('allWeak') : t('shown', { n: shown.length, all });
  $('bar').dataset.weak = weak;
  moreButton.hidden = !results.more;
  near.unobserve(moreButton); // observing it again reports its new position
  near.observe(moreButton);
  if (!shown.length) {
    $('count').textContent = '';
    if (stats?.pictures === 0) showFirstRun(stats);
    else nothingNotice(filterCount(state) ? () => go({ where: {}, strong: false, collapse: false }) : null);
  }
}

/** Show a picture in the viewer. */
function showPicture() {
  const asked = state.like.length || state.pictures.length ? null : state;
  viewer.show(sequence.item(state.view), sequence.position(state.view), asked);
}

async function fetchMore(clicked = false) {
  const current = results;
  if (!current?.more) return undefined;
  if (current.pending) return current.pending.catch(() => {}); // the first caller reports the error
  const weakReached = current.strong < current.items.length;
  if (!clicked && (weakReached || current.items.length >= AUTO_FETCH)) return undefined;
  moreButton.disabled = true;
  try {
    const before = grid.shown.length;
    await current.next();
    if (results !== current) return undefined;
    show();
    if (document.activeElement === document.body && clicked && !state.view) grid.focus(grid.shown[before]?.id);
  } catch (problem) {
    if (problem.status === 401) await askForToken();
    else toast(`${problem.title}. ${problem.detail}`); // the button stays, for a retry
  } finally {
    moreButton.disabled = false;
  }
  return undefined;
}

/** Show a problem, or ask for a missing token and retry. */
async function failed(problem, retry) {
  if (problem.status !== 401) return problemNotice(problem, retry);
  await askForToken();
  return retry();
}

function galleryChanged({ generation, pictures }) {
  if (!stats || stats.generation === generation) return;
  Object.assign(stats, { generation, pictures });
  Results.forget();
  browse.refresh();
  loadStats();
  if (!results) return;
  const hint = el('span.changed', {}, t('changed'), ' ', el('button.link', { type: 'button', onclick: again }, t('refresh')));
  $('bar').querySelector('.changed')?.remove();
  $('bar').append(hint);
}

// ------------------------------------------------------------------ start

async function loadStats() {
  stats = await api.stats();
  filters.build(stats, state);
  showFrame();
  if (results) show();
  else if (!isSearch(state)) clearResults();
}

/** Load the statistics, then listen for changes of the gallery. */
async function begin() {
  try {
    await loadStats();
    progress.start();
  } catch (problem) {
    if (!isSearch(state) || problem.status === 401) failed(problem, begin); // a failed search reports its own problem
  }
}

function listen() {
  $('search').addEventListener('submit', (event) => {
    event.preventDefault();
    if (matchMedia('(hover: none)').matches) $('query').blur(); // hides the on-screen keyboard
    const q = $('query').value.trim();
    if (q && q === state.q) again();
    else go({ ...AS_READ, q });
  });
  $('query').addEventListener('input', () => { $('clear').hidden = !$('query').value; });
  $('clear').addEventListener('click', () => {
    $('query').value = '';
    $('clear').hidden = true;
    $('query').focus();
  });
  $('play').addEventListener('click', () => play());
  $('filter-switch').addEventListener('click', () => {
    $('filters').hidden = !$('filters').hidden;
    $('filter-switch').setAttribute('aria-expanded', !$('filters').hidden);
    if (!$('filters').hidden) filters.focus();
  });
  $('language').addEventListener('click', () => setLanguage(language() === 'ar' ? 'en' : 'ar'));
  document.querySelector('.brand').addEventListener('click', (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    go(read(''));
  });
  addEventListener('popstate', (event) => arrive({ scroll: event.state?.scroll }));
  addEventListener('online', () => { if ($('notice').querySelector('.offline')) again(); });
}

onLanguage(() => {
  showTheme();
  moreButton.lastChild.textContent = t('more');
  if (stats) filters.build(stats, state);
  showFrame();
  browse.translate(state, stats);
  if (results) { grid.clear(); show(); }
});

history.scrollRestoration = 'manual';
translate(document);
startTheme();
listen();
listenForPictures(searchByPicture);
begin();
arrive({ scroll: history.state?.scroll });
if (!isSearch(state) && matchMedia('(hover: hover)').matches) $('query').focus();
