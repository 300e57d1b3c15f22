/** Indexing progress and changes of the gallery, from server-sent events. */

import { renewSession } from './api.js';
import { $, setStyle } from './dom.js';
import { onLanguage, t } from './i18n.js';
import { causeOf, kindsOf } from './problems.js';

const DONE_MS = 4000;
const AGAIN_MS = 3000; // milliseconds until events are asked for again, after an answer that was no stream

export class Progress {
  /** `changed` is called with { generation, pictures } when the gallery has changed, `turned` when indexing begins or ends. */
  constructor(changed, turned) {
    Object.assign(this, { changed, turned, state: '', box: $('progress'), source: null, started: false, closed: false });
    this.box.querySelector('button').addEventListener('click', () => this.#close());
    onLanguage(() => { if (this.news) this.#show(this.news); });
    // Disconnects hidden pages: browsers allow six connections to a server, for all tabs together.
    document.addEventListener('visibilitychange', () => (document.hidden ? this.stop() : this.started && this.start()));
  }

  start() {
    this.started = true; // not earlier: a protected gallery would refuse
    if (this.source || document.hidden) return;
    this.source = new EventSource('events');
    this.source.addEventListener('indexing', (event) => this.#show(JSON.parse(event.data)));
    this.source.addEventListener('generation', (event) => this.changed(JSON.parse(event.data)));
    this.source.addEventListener('error', ({ target }) => { if (target.readyState === EventSource.CLOSED) this.#refused(target); });
  }

  /** Ask again where a browser does not: the session is over, or a proxy waits for its server. */
  #refused(source) {
    setTimeout(async () => {
      if (source !== this.source) return;
      await renewSession().catch(() => {}); // the next attempt tries again
      if (source !== this.source) return;
      this.stop();
      this.start();
    }, AGAIN_MS);
  }

  /** Close the box until the state of indexing changes. */
  #close() {
    this.closed = true;
    this.box.hidden = true;
  }

  stop() {
    this.source?.close();
    this.source = null;
  }

  /** Whether folders are being indexed. */
  get running() { return this.state === 'running'; }

  #show(news) {
    const { state, done, found, cause, unread = {} } = this.news = news;
    if (state !== this.state) {
      Object.assign(this, { state, closed: false });
      this.turned();
    }
    clearTimeout(this.timer);
    const [text] = this.box.children;
    const bar = this.box.querySelector('progress');
    this.box.hidden = this.closed || state === 'empty';
    this.box.dataset.state = state;
    text.setAttribute('aria-live', state === 'running' ? 'off' : 'polite'); // announcing each count would drown other messages
    bar.setAttribute('aria-label', t('indexing'));
    bar.max = found || 1;
    if (found) bar.value = done;
    else bar.removeAttribute('value');
    if (state === 'failed') text.textContent = t('indexingFailed', { message: causeOf(cause) });
    else if (state === 'done') text.textContent = [t('indexed'), Object.keys(unread).length && t('unread', { kinds: kindsOf(unread) })].filter(Boolean).join(' · ');
    else text.textContent = found ? `${t('indexing')} · ${t('indexingOf', { n: done, all: found })}` : t('indexing');
    setStyle(bar, { display: state === 'running' ? '' : 'none' });
    if (state === 'done') this.timer = setTimeout(() => this.#close(), Object.keys(unread).length ? 3 * DONE_MS : DONE_MS);
  }
}
