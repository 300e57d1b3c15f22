/** Requests to the server. Every failure becomes a Problem. */

import { language, t } from './i18n.js';
import { wishes } from './address.js';
import { dataOf } from './pictures.js';

export const PAGE = 40; // pictures a request: two screens of a desk, six of a phone

/** What went wrong, ready to be shown: a title, a detail, and the HTTP status (0: nobody answered). */
export class Problem extends Error {
  constructor({ status = 0, title, detail = '', wait = 0 }) {
    super(title);
    Object.assign(this, { status, title, detail, wait });
  }
}

/** The token of this visit; a closed page forgets it. */
let token = sessionStorage.getItem('araclip.token');

async function ask(path, { body, signal, headers = {} } = {}) {
  const request = { signal, headers: { 'Accept-Language': language(), ...headers } };
  if (token) request.headers.Authorization = `Bearer ${token}`;
  if (body) {
    request.method = 'POST';
    request.body = JSON.stringify(body);
    request.headers['Content-Type'] = 'application/json';
  }
  let response;
  try {
    response = await fetch(path, request);
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw navigator.onLine
      ? new Problem({ title: t('unreachable'), detail: t('unreachableDetail', { command: 'araclip serve' }) })
      : new Problem({ title: t('offline'), detail: t('offlineDetail') });
  }
  if (!response.ok) throw await problemOf(response);
  return response.status === 204 ? null : response.json();
}

async function problemOf(response) {
  const { status } = response;
  const kind = response.headers.get('Content-Type') ?? '';
  const said = kind.includes('problem+json') ? await response.json() : {};
  const wait = Number(response.headers.get('Retry-After')) || (status === 429 ? 2 : 0);
  return new Problem({
    status,
    wait,
    title: said.title ?? t('failed'),
    detail: said.detail ?? t('failedDetail', { status }),
  });
}

/** One page of a search: { results, more, … }. */
export async function search(state, offset, signal) {
  const settings = { q: state.q, k: PAGE, offset };
  if (state.strong) settings.threshold = 0.5; // what the gallery calls weak lies below
  if (state.collapse) settings.collapse = 'near';
  if (!state.like.length && !state.pictures.length) {
    const asked = new URLSearchParams(settings);
    for (const wish of wishes(state)) asked.append('where', wish);
    return ask(`search?${asked}`, { signal });
  }
  const pictures = state.pictures.map(({ id, weight }) => ({ data: dataOf(id), weight }));
  if (pictures.some(({ data }) => !data)) {
    throw new Problem({ title: t('lostPicture'), detail: t('lostPictureDetail') });
  }
  return ask('search', { signal, body: { ...settings, where: wishes(state), like: state.like, pictures } });
}

export const stats = () => ask('stats');
export const details = (id, signal) => ask(`images/${id}/details`, { signal });
export const thumbnail = (id, size) => `thumbnails/${id}?size=${size}`;
export const picture = (id) => `images/${id}`;
export const download = (id) => `images/${id}?download=1`;

/** Show the server a token; it answers with a cookie, so that pictures load too. */
export async function signIn(given) {
  await ask('session', { body: { token: given } });
  token = given;
  sessionStorage.setItem('araclip.token', given);
}
