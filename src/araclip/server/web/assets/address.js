/**
 * The URL's query: the search and the picture being looked at. Pure.
 *
 * ?q=قطة&like=ID&like=-ID&picture=KEY&where=format=PNG&strong&collapse&view=ID; a minus before an id or key excludes.
 */

/** The state that a URL's query holds: `like` and `pictures` are lists of { id, weight }, `where` maps a filter to its value. */
export function read(search) {
  const given = new URLSearchParams(search);
  const where = given.getAll('where').map((wish) => {
    const [key, ...value] = wish.split('=');
    return [key, value.join('=')];
  });
  return {
    q: (given.get('q') ?? '').trim(),
    like: given.getAll('like').filter(Boolean).map(signed),
    pictures: given.getAll('picture').filter(Boolean).map(signed),
    where: Object.fromEntries(where.filter(([key, value]) => key && value)),
    strong: given.has('strong'),
    collapse: given.has('collapse'),
    view: given.get('view') ?? '',
  };
}

/** The URL's query of a state: '' for the home page, else '?…'. */
export function write(state) {
  const out = new URLSearchParams();
  if (state.q) out.append('q', state.q);
  for (const term of state.like) out.append('like', unsigned(term));
  for (const term of state.pictures) out.append('picture', unsigned(term));
  for (const wish of wishes(state)) out.append('where', wish);
  if (state.strong) out.append('strong', '');
  if (state.collapse) out.append('collapse', '');
  if (state.view) out.append('view', state.view);
  const text = out.toString().replaceAll('=&', '&').replace(/=$/, '');
  return text && `?${text}`;
}

/** What decides the results: the query without the picture being looked at. */
export const searchOf = (state) => write({ ...state, view: '' });

/** Whether anything is searched for; filters alone are no search. */
export const isSearch = (state) => Boolean(state.q || state.like.length || state.pictures.length);

/** Filters as the server takes them, KEY=VALUE each, in a fixed order. */
export const wishes = (state) => Object.keys(state.where).sort().map((key) => `${key}=${state.where[key]}`);

/** How many filters are set. */
export const filterCount = (state) => Object.keys(state.where).length + Number(state.strong) + Number(state.collapse);

const signed = (text) => (text[0] === '-' ? { id: text.slice(1), weight: -1 } : { id: text, weight: 1 });
const unsigned = ({ id, weight }) => (weight < 0 ? `-${id}` : id);
