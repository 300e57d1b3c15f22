/** Messages instead of results: nothing found, an empty gallery, an error with a remedy. */

import { askForToken } from './api.js';
import { $, button, el, icon } from './dom.js';
import { language, t } from './i18n.js';
import { complain } from './toast.js';

let timer;
let closeToast; // of the toast that says the same as the notice

/** Show a notice. `action` is { label, run, icon } or null; errors are announced by screen readers. */
export function notice({ name, title, detail, action = null, alert = false }) {
  clearNotice();
  const text = detail?.nodeType ? detail : el('p', {}, detail);
  $('notice').replaceChildren(el(`div.notice.${name}`, { role: alert ? 'alert' : 'status' },
    icon(name), el('h2', {}, title), text, action && button('solid', action.icon ?? 'retry', null, action.run, action.label)));
}

/** Say that nothing was found. `reset` removes the filters, `reveal` shows the nearest pictures; null: no button. `said`: title, detail. */
export function nothingNotice(reset, reveal, said = [t('nothing'), t(reset ? 'nothingFiltered' : 'nothingDetail')]) {
  const shown = [language(), Boolean(reset), Boolean(reveal), ...said].join();
  if ($('notice').firstChild?.dataset.shown === shown) return; // while pictures are indexed, it is not said again
  const first = reveal ? { label: t('reveal'), icon: 'more', run: reveal } : reset && { label: t('reset'), icon: 'close', run: reset };
  notice({ name: 'nothing', title: said[0], detail: said[1], action: first });
  $('notice').firstChild.dataset.shown = shown;
  if (reveal && reset) $('notice').firstChild.append(button('quiet', 'close', null, reset, t('reset')));
}

/** The command that adds pictures. */
export function howToFill() {
  const [before, after] = t('emptyGalleryDetail', { command: '\0' }).split('\u2068\0\u2069');
  return el('p', {}, before, el('code', { dir: 'ltr' }, 'araclip index'), after);
}

/** A gallery without pictures. */
export const emptyNotice = () => notice({ name: 'empty', title: t('emptyGallery'), detail: howToFill() });

/** A Problem as a notice, with a suitable action. */
export function problemNotice(problem, retry) {
  const { status, title, detail, wait } = problem;
  const action = { label: t('retry'), run: retry };
  if (wait) countdown(title, wait, action);
  else if (status === 0 && !navigator.onLine) notice({ name: 'offline', title, detail, action, alert: true });
  else notice({ name: 'broken', title, detail, action: status >= 400 && status < 500 ? null : action, alert: true });
  if (status === 0) $('notice').firstChild.dataset.unanswered = '';
}

/** Show a problem, or ask for a missing token and try again. */
export async function failed(problem, retry) {
  if (problem.status !== 401) return problemNotice(problem, retry);
  await askForToken();
  return retry();
}

/** Show a problem of pictures that come while the page is scrolled: a toast says it where the notice is out of sight. */
export function failedBelow(problem, retry) {
  const close = scrollY > innerHeight && complain(problem);
  failed(problem, retry);
  closeToast = close;
}

/** Try again where no answer came, since there is a network again; some need a moment until they carry requests. */
export function networkIsBack() {
  for (const ms of [0, 1000, 4000]) setTimeout(() => $('notice').querySelector('[data-unanswered] button')?.click(), ms);
}

export function clearNotice() {
  clearInterval(timer);
  if (closeToast) closeToast();
  closeToast = null;
  $('notice').replaceChildren();
}

function countdown(title, wait, action) {
  const text = el('p', {}, t('busyDetail', { n: wait }));
  notice({ name: 'busy', title, detail: text, action, alert: true });
  let left = wait;
  timer = setInterval(() => {
    left -= 1;
    if (left > 0) text.textContent = t('busyDetail', { n: left });
    else { clearInterval(timer); action.run(); }
  }, 1000);
}
