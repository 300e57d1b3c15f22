/**
 * The URL's query: the search and the picture in the viewer. Pure.
 *
 * ?q=قطة&like=ID&like=-ID&picture=KEY&where=format=PNG&strong&unfold&sort=date&literal&ignore=date&open=ID&view=ID&show=albums; a minus before an id or key excludes.
 */

/** What the server may read into a query's words; a person can take each of these parts back. */
const PARTS = ['words', 'exclusions', 'date', 'folder', 'place', 'kind', 'order'];

/** The state that a URL's query holds: `like` and `pictures` are lists of { id, weight }, `where` maps a filter to its value. */
export function read(search) {
  const params = new URLSearchParams(search);
  const where = params.getAll('where').map((filter) => {
    const [key, ...value] = filter.split('=');
    return [key, value.join('=')];
  });
  return {
    q: (params.get('q') ?? '').trim(),
    like: params.getAll('like').filter(Boolean).map(parseTerm),
    pictures: params.getAll('picture').filter(Boolean).map(parseTerm),
    where: Object.fromEntries(where.filter(([key, value]) => key && value)),
    strong: params.has('strong'),
    collapse: !params.has('unfold'), // near-duplicates stand behind the best of them
    sort: params.get('sort') === 'date' ? 'date' : '', // what fits, the newest first
    literal: params.has('literal'),
    ignore: params.getAll('ignore').filter((part) => PARTS.includes(part)),
    open: params.getAll('open').filter(Boolean), // pictures whose near-duplicates are shown beside them
    view: params.get('view') ?? '',
    show: params.get('show') ?? '', // without a query: 'albums' or 'map' in place of the timeline
  };
}

/** The URL's query of a state: '' for the home page, else '?…'. */
export function write(state) {
  const params = new URLSearchParams();
  if (state.q) params.append('q', state.q);
  for (const term of state.like) params.append('like', formatTerm(term));
  for (const term of state.pictures) params.append('picture', formatTerm(term));
  for (const filter of filterTexts(state)) params.append('where', filter);
  if (state.strong) params.append('strong', '');
  if (!state.collapse) params.append('unfold', '');
  if (state.sort && isSearch(state)) params.append('sort', state.sort);
  if (state.literal) params.append('literal', '');
  for (const part of state.ignore ?? []) params.append('ignore', part);
  if (state.show && !isSearch(state)) params.append('show', state.show);
  for (const id of state.open ?? []) params.append('open', id);
  if (state.view) params.append('view', state.view);
  const text = params.toString().replaceAll('=&', '&').replace(/=$/, '');
  return text && `?${text}`;
}

/** The part of the state that determines the results: all but the picture in the viewer and what is unfolded. */
export const searchOf = (state) => write({ ...state, view: '', open: [] });

/** The change that removes every filter. */
export const UNFILTERED = { where: {}, strong: false, collapse: true };

/** Whether the state has a search; filters alone are no search. */
export const isSearch = (state) => Boolean(state.q || state.like.length || state.pictures.length);

/** Filters for the server, KEY=VALUE each, sorted. */
export const filterTexts = (state) => Object.keys(state.where).sort().map((key) => `${key}=${state.where[key]}`);

/** Whether a state shows the hidden pictures and nothing else. */
export const onlyHidden = (state) => !isSearch(state) && filterCount(state) === 1 && state.where.hidden === 'yes';

/** How many filters are set. */
export const filterCount = (state) => Object.keys(state.where).length + Number(state.strong) + Number(!state.collapse);

const parseTerm = (text) => (text[0] === '-' ? { id: text.slice(1), weight: -1 } : { id: text, weight: 1 });
const formatTerm = ({ id, weight }) => (weight < 0 ? `-${id}` : id);
