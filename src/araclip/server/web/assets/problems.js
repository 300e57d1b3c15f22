/** Errors for display in the page's language: the server's text if it is in that language, else a text of ours, by the error's type. */

import { directed, isolated, language, listed, number, t } from './i18n.js';

const TYPE = 'urn:araclip:problem:';
const TEXTS = { // of the server's problem types and of statuses: a title and a detail
  busy: ['busy', 'laterDetail'],
  429: ['busy', 'laterDetail'],
  gallery: ['galleryClosed', 'laterDetail'],
  starting: ['galleryClosed', 'laterDetail'],
  'busy-writing': ['galleryClosed', 'laterDetail'],
  502: ['unreachable', 'laterDetail'],
  503: ['galleryClosed', 'laterDetail'],
  504: ['unreachable', 'laterDetail'],
  slow: ['unreachable', 'laterDetail'],
  'bad-query': ['badQuery', 'nothingDetail'],
  400: ['badQuery', 'nothingDetail'],
  'bad-picture': ['badPicture', 'asJpeg'],
  'media-type': ['badPicture', 'asJpeg'],
  'too-large': ['tooLarge', 'tooLargeDetail'],
  413: ['tooLarge', 'tooLargeDetail'],
  'no-picture': ['gone', 'noPictureDetail'],
  404: ['gone', 'noPictureDetail'],
  forbidden: ['forbidden', 'forbiddenDetail'],
  403: ['forbidden', 'forbiddenDetail'],
  401: ['tokenTitle', 'tokenDetail'],
};

/** An error for display: a title, a detail, the HTTP status (0: no response), and seconds to wait before a retry. */
export class Problem extends Error {
  constructor({ status = 0, title, detail = '', wait = 0 }) {
    super(title);
    Object.assign(this, { status, title, detail, wait });
  }
}

/** The Problem of a request without an answer: the server or the network is missing. */
export const unanswered = () => new Problem(navigator.onLine
  ? { title: t('unreachable'), detail: t('unreachableDetail', { command: 'araclip serve' }) }
  : { title: t('offline'), detail: t('offlineDetail') });

/** Whether a text of the server's is in the page's language; a name in other letters may stand in it. */
export const isReadable = (text) => Boolean(text) && (language() === 'ar' ? /[\u0621-\u064a]/ : /[a-z]{2}/i).test(text);

/** The Problem of an answer that is an error. */
export async function problemOf(response) {
  const { status } = response;
  const kind = response.headers.get('Content-Type') ?? '';
  const { type = '', title, detail } = kind.includes('problem+json') ? await response.json().catch(() => ({})) : {};
  const known = TEXTS[type.replace(TYPE, '')] ?? TEXTS[status];
  return new Problem({
    status,
    wait: Number(response.headers.get('Retry-After')) || (status === 429 ? 2 : 0),
    title: isReadable(title) ? title : t(known?.[0] ?? 'failed'),
    detail: isReadable(detail) ? detail : known ? t(known[1]) : t('failedDetail', { status }),
  });
}

const CAUSES = { full: 'causeFull', denied: 'causeDenied', missing: 'causeMissing', damaged: 'causeDamaged', model: 'causeModel', killed: 'causeKilled' };

/** Why indexing has stopped, by the server's word for it. */
export const causeOf = (cause) => t(CAUSES[cause] ?? 'causeInLog', { command: 'araclip repair' });

/** Files in formats that are not read, the most frequent kinds first: HEIC ×2, SVG ×1. */
export const kindsOf = (counts) => listed(Object.entries(counts).sort(([, a], [, b]) => b - a).map(([kind, count]) => directed(`${isolated(kind)} ×${number(count)}`)));

/** The text for any error: that of a Problem; for a fault of the page itself, that something went wrong. */
export const said = (error) => (error instanceof Problem ? error.detail || error.title : t('failed'));
