/** The page: maps actions to URLs, and shows the state that the URL holds. */

import { learn, nameOf } from './album-names.js';
import * as api from './api.js';
import { filterCount, isSearch, onlyHidden, read, searchOf, UNFILTERED, write } from './address.js';
import { Browse } from './browse.js';
import { Chips } from './chips.js';
import { chosenPictures } from './chosen.js';
import { $, loadIcons, plainly } from './dom.js';
import { leaveFirstRun, showFirstRun, wasEmpty } from './empty-gallery.js';
import { Filters, filterChips } from './filters.js';
import { Grid } from './grid.js';
import { showHome } from './home.js';
import { language, onLanguage, setLanguage, t, translate } from './i18n.js';
import { listenForPictures } from './intake.js';
import { failed, failedBelow, networkIsBack, nothingNotice } from './notice.js';
import { Paging } from './paging.js';
import { storePicture } from './pictures.js';
import { enter, goTo, leavePlace, leaveViewer } from './place.js';
import { Progress } from './progress.js';
import { quoted } from './query.js';
import { remember } from './recent.js';
import { Results } from './results.js';
import { listenToSearchBox } from './search-box.js';
import { Sequence } from './sequence.js';
import { Suggest } from './suggest.js';
import { showTheme, startTheme } from './theme.js';
import { complain, fetched } from './toast.js';
import { Understood } from './understood.js';
import { Viewing } from './viewing.js';
import { waited, waiting } from './waiting.js';

const AS_READ = { literal: false, ignore: [] }; // for a new query: the server may interpret all its words
const STATS_AGAIN_MS = 3000;
let state = read('');
let shownSearch = null; // the search whose results the page shows
let [results, stats, missing] = [null, null, 0]; // `missing`: the timer that asks for statistics once more
let taken = 0; // pictures that were given to search by, and searches that were shown: the latest of them counts

const grid = new Grid($('results'), { open: (item) => go({ view: item.id }), similar: (item) => moreLike(item), unfold: toggleCopies });
const sequence = new Sequence({
  shown: () => grid.shown, more: () => Boolean(results?.more), fetchMore: (clicked) => paging.fetch(clicked), browsed: () => browse.showing && browse,
});
const viewer = new Viewing({
  turn, close: () => closeViewer(), hidden: () => sequence.choose(null), similar: (item) => moreLike(item), unlike: (item) => lessLike(item),
  part: (canvas) => searchByPicture(canvas, AS_READ, ''), open: ({ id }) => go({ view: id }),
});
const chips = new Chips(go);
const understood = new Understood(go);
const filters = new Filters(go);
const browse = new Browse({ go, failed: (problem) => { if (stats) failedBelow(problem, again); } });
const chosen = chosenPictures({ grid, browse, play, rights: () => stats?.can ?? [], state: () => state, changed: () => { browse.refresh(); if (results) keepUp().then((each) => each.now()).catch(again); } });
const suggest = new Suggest(({ text, kind }) => go(kind === 'folder' || kind === 'place' ? { ...AS_READ, q: '', where: { [kind]: text } } : { ...AS_READ, q: kind === 'file' ? quoted(text) : text }));
let freshness = null; // the Freshness of the page, once the gallery has changed
const keepUp = async () => (freshness = (await import('./freshness.js')).freshnessOf({ results: () => results, grid, show, bar: $('bar') }));
const progress = new Progress(galleryChanged, () => { if (isFirstRun()) showFirstRun(stats); });
const paging = new Paging({ results: () => results, grid, show, isFree: () => !state.view });

// ------------------------------------------------------------------ from actions to the URL

/** Change a part of the state, and the URL with it; returns whether the state has changed. */
function go(change, { replace = false } = {}) {
  const next = { ...state, open: [], view: '', ...('view' in change ? { open: state.open } : {}), ...change };
  if (write(next) === write(state)) return false;
  enter(write(next) || './', { replace, viewing: state.view });
  arrive();
  return true;
}

/** Show the near-duplicates of a picture beside it, or fold them again. */
function toggleCopies({ id }) {
  go({ open: state.open.includes(id) ? state.open.filter((other) => other !== id) : [...state.open, id] }, { replace: true });
}

const moreLike = (item) => go({ ...AS_READ, q: '', pictures: [], like: [{ id: item.id, weight: 1 }] });
const lessLike = (item) => go({ like: [...state.like.filter(({ id }) => id !== item.id), { id: item.id, weight: -1 }] });

const closeViewer = () => leaveViewer() || go({ view: '' }, { replace: true });

/** Show the picture that is `step` places from the current one. */
async function turn(step) {
  const { view } = state;
  const item = await sequence.from(view, step);
  if (!item || item.id === view || view !== state.view) return; // or another picture was opened meanwhile
  history.replaceState(history.state, '', write({ ...state, view: item.id }));
  arrive();
}

/** Start a slideshow of `items`, or of all that the page shows. */
function play(items = null) {
  sequence.choose(items);
  go({ view: sequence.first?.id ?? '' });
  if (state.view) viewer.play();
}

async function searchByPicture(file, change = {}, q = $('query').value.trim()) {
  const turn = taken += 1;
  const id = await storePicture(file, stats?.reads).catch((problem) => { complain(problem); });
  if (id && turn === taken && !go({ ...change, q, pictures: [{ id, weight: 1 }], like: [] })) again(); // the URL is the same, but the lost picture is here again
}

// ------------------------------------------------------------------ from the URL to the page

/** Show the state that the URL holds. */
async function arrive({ scroll } = {}) {
  const before = state;
  state = read(location.search);
  const search = searchOf(state);
  if (search !== shownSearch) {
    shownSearch = search;
    leavePlace();
    if (search !== searchOf(before)) { // otherwise it is only asked again, and what was chosen, opened or typed meanwhile stays
      taken += 1;
      for (const each of [chosen, viewer]) each.hide();
      suggest.close();
      $('query').value = state.q;
    }
    showFrame();
    if (isSearch(state)) await run();
    else clearResults();
    if (scroll && browse.showing) await browse.placed; // until then, the page is too short to scroll
    if (search !== shownSearch) return; // the page shows another state by now
    goTo(scroll);
  } else if (results && write({ ...state, view: '' }) !== write({ ...before, view: '' })) {
    await results.unfold(state.open).catch(complain);
    if (results) show();
  }
  if (state.view) showPicture(state);
  else if (before.view) {
    viewer.hide();
    (browse.showing ? browse : grid).focus(before.view);
  }
}

/** Draw everything around the results. */
function showFrame() {
  const home = !isSearch(state) && !filterCount(state);
  const start = home && !state.show; // leaves the room to albums and the map
  document.body.dataset.page = start ? 'home' : home || onlyHidden(state) ? 'browse' : 'results';
  document.title = state.q ? `${state.q} – AraCLIP` : t('title');
  $('clear').hidden = !$('query').value;
  [$('home').hidden, $('bar').hidden] = [!start, home];
  chips.show(state, filterChips(state));
  filters.sync(state);
  if (start) showHome(state, stats, (q) => go({ ...AS_READ, q }));
  browse.show(state, stats);
  const { album } = state.where;
  if (album && !nameOf(album)) learn(album).then(() => nameOf(album) && showFrame(), () => {}); // unnamed, it is shown as well
}

/** Whether the page may tell of a first run: the gallery has no pictures, or had none when the page was opened. */
const isFirstRun = () => stats && !isSearch(state) && (!stats.pictures || wasEmpty());

/** Clear the results. */
function clearResults() {
  results = null;
  freshness?.forget();
  waited();
  $('results').hidden = false;
  understood.show(state, null);
  grid.clear();
  paging.show(false);
  if (isFirstRun() && (!stats.pictures || progress.running)) showFirstRun(stats); else leaveFirstRun();
  browse.count();
}

async function run() {
  const current = Results.of(state);
  results = null; // the grid still shows the results of the last search
  grid.cancelLoading();
  waiting();
  const outdated = () => searchOf(state) !== searchOf(current.state); // another search has started
  try {
    if (!current.answered) await current.next();
    if (outdated()) return;
    await current.unfold(state.open);
    if (outdated()) return;
    results = current;
    freshness?.forget();
    leaveFirstRun();
    if (state.q) remember(state.q);
    show();
  } catch (problem) {
    if (outdated()) return;
    clearResults();
    failed(problem, again);
  } finally {
    if (!outdated()) waited();
  }
}

/** Repeat the current search, after loading the statistics if they are missing. */
function again() {
  if (!stats) begin();
  Results.forget();
  shownSearch = null;
  leaveFirstRun();
  return arrive({ scroll: scrollY });
}

function show() {
  const folded = results.hidden; // all are weak: the nearest pictures wait behind a button
  $('results').hidden = folded;
  if (folded) grid.clear();
  const shown = folded ? [] : grid.show(results);
  understood.show(state, results.interpretation);
  const weak = shown.length > 0 && results.nothingFits;
  const all = Math.max(results.passing ?? stats?.pictures ?? 0, shown.length);
  const said = weak ? 'allWeak' : results.counted;
  $('count').textContent = t(said, { n: said === 'pictures' ? all : shown.length, all });
  $('bar').dataset.weak = weak;
  paging.show(!folded && results.more);
  if (shown.length) leaveFirstRun();
  else {
    $('count').textContent = '';
    if (stats?.pictures === 0) showFirstRun(stats);
    else if (results.away) nothingNotice(null, null, [t('away'), t('awayDetail')]);
    else nothingNotice(filterCount(state) ? () => go(UNFILTERED) : null, folded ? reveal : null);
  }
}

/** Show results that are all weak. */
function reveal() {
  results.revealed = true;
  leaveFirstRun();
  show();
  grid.focus(grid.shown[0].id);
}

/** Show the picture of a state in the viewer. */
async function showPicture({ view }) {
  if (browse.showing && !browse.position(view)) await browse.locate(view);
  if (view !== state.view) return;
  viewer.show(sequence.item(view), sequence.position(view), state.like.length || state.pictures.length ? null : state);
}

function galleryChanged({ generation, pictures }) {
  if (!stats || stats.generation === generation) return;
  Object.assign(stats, { generation, pictures });
  Results.forget();
  browse.refresh();
  loadStats().catch(() => {}); // the next change tries again
  keepUp().then((each) => each.changed()).catch(() => {});
}

// ------------------------------------------------------------------ start

async function loadStats() {
  stats = await api.stats();
  document.body.dataset.generation = stats.generation; // the gallery's state that the page knows
  filters.build(stats, state);
  showFrame();
  if (results) show();
  else if (!isSearch(state)) clearResults();
}

/** Load the statistics, then listen for changes of the gallery. */
async function begin() {
  clearTimeout(missing);
  try {
    await loadStats();
    progress.start();
  } catch (problem) {
    if (!isSearch(state) || problem.status === 401) failed(problem, begin);
    else missing = setTimeout(begin, STATS_AGAIN_MS); // a failed search reports its own problem
  }
}

function listen() {
  listenToSearchBox((q) => {
    suggest.close();
    if (q && q === state.q) { scrollTo(0, 0); again(); } else go({ ...AS_READ, q });
  });
  $('play').addEventListener('click', () => play());
  $('filter-switch').addEventListener('click', () => fetched(filters.open()));
  $('language').addEventListener('click', () => setLanguage(language() === 'ar' ? 'en' : 'ar'));
  document.querySelector('.brand').addEventListener('click', plainly(() => go(read(''))));
  addEventListener('popstate', (event) => arrive({ scroll: event.state?.scroll }));
  addEventListener('online', networkIsBack);
}

onLanguage(() => {
  showTheme();
  for (const each of [paging, freshness]) each?.translate();
  if (stats) filters.build(stats, state);
  showFrame();
  if (results) { grid.clear(); show(); } else if ($('notice').firstChild) again();
});

loadIcons();
translate(document);
startTheme();
listen();
listenForPictures(searchByPicture);
begin();
arrive({ scroll: history.state?.scroll });
if (!isSearch(state) && matchMedia('(hover: hover)').matches) $('query').focus();
