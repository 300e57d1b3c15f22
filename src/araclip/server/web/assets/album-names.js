/** Names of albums by their keys, as far as this tab has seen them: an address holds the key alone. */

import { folders } from './browsing-api.js';
import { ofTab } from './storage.js';

const PLACE = 'araclip.albums';
const names = JSON.parse(ofTab.get(PLACE) ?? '{}');

/** Remember the name of the album with this key. */
export function named(key, name) {
  if (names[key] === name) return;
  names[key] = name;
  ofTab.set(PLACE, JSON.stringify(names));
}

const asked = {}; // the requests for names that are under way, by the albums' keys

/** Ask the server for the name of an album that came with an address. Throws a Problem. */
export const learn = (key) => (asked[key] ??= folders(key)
  .then(({ trail }) => named(key, trail.at(-1).name))
  .finally(() => delete asked[key]));

/** The name of an album; empty where it is not known. */
export const nameOf = (key) => names[key] ?? '';
