/** What an installed page needs: the service worker, where the browser has one (https, or this machine), and shared pictures. */

import { t } from './i18n.js';
import { toast } from './toast.js';

const wasShared = location.search === '?shared';
if (wasShared) history.replaceState(null, '', './');

const workers = navigator.serviceWorker;
if (workers) addEventListener('load', () => workers.register('worker.js').then(keep).catch(() => {})); // without it, the page works as ever

/** Call `take` with the picture that another app shared with the page. If the worker has lost the picture, ask for it once more. */
export function receiveShared(take) {
  if (!wasShared) return;
  const received = ({ data } = {}) => (data ? take(data) : toast(t('shareAgain')));
  if (!workers?.controller) return received();
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = received;
  workers.controller.postMessage('shared', [port2]);
}

/** On the first visit, store the page and the scripts that were loaded before the worker was there. */
async function keep() {
  if (workers.controller) return;
  const shell = await caches.open('araclip-shell');
  const here = performance.getEntriesByType('resource').map(({ name }) => name).filter((name) => /\/assets\/[0-9a-f]{12}\//.test(name));
  await shell.addAll(['./', ...new Set(here)]);
}
