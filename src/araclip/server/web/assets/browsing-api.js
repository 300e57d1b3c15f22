/** Requests that browse without a query, and those for pictures that are selected. */

import { request } from './api.js';

const asked = (path, filters, params, signal) => {
  const query = new URLSearchParams(params);
  for (const filter of filters) query.append('where', filter);
  return request(`${path}?${query}`, { signal });
};

/** { pictures, months: [{ month, pictures }], generation } of the pictures that pass filters. */
export const timeline = (filters, signal) => asked('timeline', filters, {}, signal);

/** { results, pictures, … } from position `offset` on, newest first. */
export const pictures = (filters, offset, k, signal) => asked('pictures', filters, { offset, k }, signal);

/** { trail, albums, more, … }: 500 of the albums in an album, or of those at the top, from `offset` on. */
export const folders = (inside, offset = 0) => asked('folders', [], { k: 500, offset, ...(inside ? { in: inside } : {}) });

/** { pictures, places, … }: where pictures were taken, in cells of so many degrees. */
export const places = (filters, cell, signal) => asked('places', filters, { cell }, signal);

/** The places of all pictures by town: { places: [{ name, pictures, cover, … }] }. */
export const towns = () => asked('places', [], { by: 'town' });

/** Prepare an archive of pictures: { address, pictures, bytes }. */
export const archive = (ids) => request('archives', { body: { ids } });

/** { paths } of pictures. */
export const paths = (ids) => request('paths', { body: { ids } });

/** Hide pictures or show them again: { changed }. */
export const hide = (ids, hidden) => request('hidden', { body: { ids, hidden } });

