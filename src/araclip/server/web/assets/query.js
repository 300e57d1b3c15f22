/**
 * Splits a query such as «قطة + سجادة حمراء - كلب» into signed terms, by the rules of araclip.gallery.query; a test
 * compares the two. Pure.
 */

const SIGNS = { '+': 1, '-': -1, '\u2212': -1, '\u2013': -1 };
const QUOTES = { '"': '"', '«': '»', '“': '”' };
const CLOSING = new Set(Object.values(QUOTES));
const ESCAPABLE = new Set(['\\', ':', '.', '/', '~', ...Object.keys(SIGNS), ...Object.keys(QUOTES), ...CLOSING]);
const SPACE = '(?!\ufeff)[\\s\\u001c-\\u001f\\u0085\\u200e\\u200f\\u061c\\u202a-\\u202e\\u2066-\\u2069]';
const IS_SPACE = new RegExp(SPACE);
const AROUND = new RegExp(`^(${SPACE})+|(${SPACE})+$`, 'g');
const WEIGHT = new RegExp(`^(${SPACE})*(\\p{Nd}+([.,٫]\\p{Nd}+)?|[.,٫]\\p{Nd}+)\\s*:(${SPACE})*$`, 'u');

/** Terms of a query, [{ sign: 1 or -1, text }]; `text` as typed, with quotation marks. */
export function split(query) {
  const letters = [...query];
  const parts = [{ sign: 0, text: '', plain: '' }]; // sign 0: none typed; plain: text with quoted and escaped characters as \0
  let closing = '';
  for (let i = 0; i < letters.length; i += 1) {
    const part = parts.at(-1);
    const letter = letters[i];
    const fresh = part.text === '' || IS_SPACE.test(part.plain.at(-1));
    if (letter === '\\' && ESCAPABLE.has(letters[i + 1])) {
      i += 1;
      part.text += letter + letters[i];
      part.plain += '\0';
    } else if (closing) {
      if (letter === closing) closing = '';
      part.text += letter;
      part.plain += '\0';
    } else if (letter in QUOTES && (fresh || WEIGHT.test(part.plain))) {
      closing = QUOTES[letter];
      part.text += letter;
      part.plain += '\0';
    } else if (letter in SIGNS && fresh) {
      parts.push({ sign: SIGNS[letter], text: '', plain: '' });
    } else {
      part.text += letter;
      part.plain += letter;
    }
  }
  return parts
    .map(({ sign, text }) => ({ sign: sign || 1, text: text.replace(AROUND, '') }))
    .filter(({ text }, i) => text || i > 0);
}

/** A query for a text as it stands, in which signs, dates and "without" mean nothing. */
export const quoted = (text) => `"${text.replace(/["\\]/g, '\\$&')}"`;

/** The query of terms; the inverse of `split`. */
export function join(terms) {
  return terms.map(({ sign, text }, i) => (sign < 0 ? `- ${text}` : i ? `+ ${text}` : text)).join(' ');
}
