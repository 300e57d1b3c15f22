/** A place in the page's language, of «القاهرة، مصر · Cairo, Egypt»; as it is, where it is written in the other one only. */

import { language } from './i18n.js';

export function placed(place) {
  const own = place.split(' · ').filter((part) => /[\u0621-\u064a]/.test(part) === (language() === 'ar'));
  return own.join(' · ') || place;
}
