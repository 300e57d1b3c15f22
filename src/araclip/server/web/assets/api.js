/** Requests to the server. Every failure becomes a Problem. */

import { FAIR, language, t } from './i18n.js';
import { filterTexts } from './address.js';
import { dataOf } from './pictures.js';
import { Problem, problemOf, unanswered } from './problems.js';
import { ofTab } from './storage.js';

export const PAGE = 40; // pictures per request: two desktop screens, six phone screens

/** The access token, until the tab is closed. */
let token = ofTab.get('araclip.token');
const session = token && signIn(token).catch(() => {}); // the session's cookie may have expired

export async function request(path, { body, form, signal, method = form && 'POST', headers = {}, raw = false } = {}) {
  if (path !== 'session') await session;
  const options = { signal, method, body: form, headers: { 'Accept-Language': language(), ...headers } };
  if (token) options.headers.Authorization = `Bearer ${token}`;
  if (body) {
    options.method = 'POST';
    options.body = JSON.stringify(body);
    options.headers['Content-Type'] = 'application/json';
  }
  try {
    const response = await fetch(path, options);
    if (!response.ok) throw await problemOf(response);
    if (raw) return new Uint8Array(await response.arrayBuffer());
    return response.status === 204 ? null : await response.json();
  } catch (error) {
    if (error.name === 'AbortError' || error instanceof Problem) throw error;
    throw unanswered(); // there is no answer, or only half of one
  }
}

/** One page of a search: { results, more, … }. */
export async function search(state, offset, signal) {
  const settings = { q: state.q, k: PAGE, offset };
  if (state.strong) settings.threshold = FAIR; // hits below are weak
  if (state.collapse) settings.collapse = 'near';
  if (state.sort) settings.sort = state.sort;
  if (state.literal) settings.literal = true;
  if (!state.like.length && !state.pictures.length) {
    const params = new URLSearchParams(settings);
    for (const filter of filterTexts(state)) params.append('where', filter);
    for (const part of state.ignore) params.append('ignore', part);
    return request(`search?${params}`, { signal });
  }
  const pictures = state.pictures.map(({ id, weight }) => ({ data: dataOf(id), weight }));
  if (pictures.some(({ data }) => !data)) {
    throw new Problem({ title: t('lostPicture'), detail: t('lostPictureDetail') });
  }
  return request('search', { signal, body: { ...settings, where: filterTexts(state), ignore: state.ignore, like: state.like, pictures } });
}

export const indexed = () => request('index');
export const indexNow = () => request('index', { method: 'POST' });
/** The near-duplicates of a picture that pass some filters. */
export const copiesOf = (id, filters) => request(`images/${id}/near?${new URLSearchParams(filters.map((filter) => ['where', filter]))}`);
export const suggestions = (q, signal) => request(`suggestions?${new URLSearchParams({ q: q.slice(0, 200) })}`, { signal });
export const stats = () => request('stats');
export const details = (id, signal) => request(`images/${id}/details`, { signal });
export const explain = (id, { q, literal, ignore }, signal) => {
  const params = new URLSearchParams({ q, literal: Boolean(literal) });
  for (const part of ignore) params.append('ignore', part);
  return request(`images/${id}/explain?${params}`, { signal });
};
/** The near-duplicates of a picture, whatever the filters. */
export const near = async (id, signal) => (await request(`images/${id}/near`, { signal })).results;
/** The first bytes of a picture's file, also where the server would show a converted picture. */
export const beginning = (id, bytes, signal) => request(download(id), { signal, headers: { Range: `bytes=0-${bytes - 1}` }, raw: true });
export const thumbnail = (id, size) => `thumbnails/${id}?size=${size}`;
export const picture = (id) => `images/${id}`;
export const download = (id) => `images/${id}?download=1`;

/** Sign in with a token; the server sets a cookie, which images need. */
export async function signIn(newToken) {
  await request('session', { body: { token: newToken } });
  token = newToken;
  ofTab.set('araclip.token', newToken);
}

/** Ask for a token until the server accepts it. */
export const askForToken = async () => (await import('./token.js')).askForToken();

/** Begin a new session, since the cookie ends after hours, and when the server restarts. Throws a Problem where no answer comes. */
export async function renewSession() {
  try {
    await (token ? signIn(token) : stats());
  } catch (problem) {
    if (problem.status !== 401) throw problem;
    await askForToken();
  }
}
