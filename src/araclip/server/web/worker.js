/**
 * The service worker: keeps the page's shell (its HTML, scripts, styles and icons), so that the installed page opens without a
 * network, and takes a picture that another app shares. Nothing of the gallery is kept: no picture, no query, no answer.
 */

const SHELL = 'araclip-shell';
const base = new URL('./', self.location).pathname; // the page may live below a path
let shared = null; // the picture that was shared, until the page asks for it

self.addEventListener('install', () => self.skipWaiting());

self.addEventListener('fetch', (event) => {
  const { request } = event;
  const { origin, pathname } = new URL(request.url);
  if (origin !== self.location.origin) return;
  if (request.method === 'POST' && pathname === `${base}share`) event.respondWith(take(request));
  else if (request.method !== 'GET') return;
  else if (request.mode === 'navigate' && pathname === base) event.respondWith(page(request));
  else if (/^assets\/[0-9a-f]{12}\//.test(pathname.slice(base.length))) event.respondWith(asset(request));
});

self.addEventListener('message', ({ data, ports: [port] }) => {
  if (data !== 'shared') return;
  port.postMessage(shared);
  shared = null;
});

/** Keep a shared picture in memory for the page that is opened now. */
async function take(request) {
  shared = (await request.formData()).get('picture');
  return Response.redirect(`${base}?shared`, 303);
}

/** The page as the server has it; without a network, as it was last seen. */
async function page(request) {
  const shell = await caches.open(SHELL);
  try {
    const answer = await fetch(request);
    if (answer.ok) await renew(shell, answer.clone()).catch(() => {}); // a full disk keeps nobody from the page
    return answer;
  } catch (error) {
    return (await shell.match(base)) ?? Promise.reject(error);
  }
}

/** Store the page, and drop the assets of another version. */
async function renew(shell, answer) {
  const [version] = /assets\/[0-9a-f]{12}\//.exec(await answer.clone().text()) ?? [];
  await shell.put(base, answer);
  for (const old of await shell.keys()) if (!old.url.includes(version) && new URL(old.url).pathname !== base) await shell.delete(old);
}

/** A script, style or icon: its address holds its version, so what is kept is right. */
async function asset(request) {
  const shell = await caches.open(SHELL);
  const kept = await shell.match(request);
  if (kept) return kept;
  const answer = await fetch(request);
  if (answer.ok) await shell.put(request, answer.clone()).catch(() => {});
  return answer;
}
