/** What an installed page needs: the service worker, where the browser has one (https, or this machine), and shared pictures. */

const wasShared = location.search === '?shared';
if (wasShared) history.replaceState(null, '', './');

const workers = navigator.serviceWorker;
if (workers) addEventListener('load', () => workers.register('worker.js').then(keep).catch(() => {})); // without it, the page works as ever

/** Call `take` with the picture that another app shared with the page; it is null if the worker has ended meanwhile. */
export function receiveShared(take) {
  if (!wasShared || !workers?.controller) return;
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = ({ data }) => take(data);
  workers.controller.postMessage('shared', [port2]);
}

/** On the first visit the worker was not there yet: have it keep the page and the scripts that are here already. */
async function keep() {
  if (workers.controller) return;
  const shell = await caches.open('araclip-shell');
  const here = performance.getEntriesByType('resource').map(({ name }) => name).filter((name) => /\/assets\/[0-9a-f]{12}\//.test(name));
  await shell.addAll(['./', ...new Set(here)]);
}
