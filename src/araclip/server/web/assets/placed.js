/** The part of a place (القاهرة، مصر · Cairo, Egypt) in the page's language; the whole place if it has no such part. */

import { language } from './i18n.js';

export function placed(place) {
  const own = place.split(' · ').filter((part) => /[\u0621-\u064a]/.test(part) === (language() === 'ar'));
  return own.join(' · ') || place;
}
