/** What a gallery without pictures shows: firstrun.js, which is fetched when it is needed. */

import { clearNotice } from './notice.js';

let firstRun = null;
let calls = 0; // an import may end after a later call, which then counts

/** Whether the gallery had no pictures at some time since the page was opened. */
export const wasEmpty = () => firstRun !== null;

export async function showFirstRun(stats) {
  const call = calls += 1;
  firstRun ??= await import('./firstrun.js');
  if (call === calls) firstRun.showFirstRun(stats);
}

export function leaveFirstRun() {
  calls += 1;
  firstRun?.leaveFirstRun();
  clearNotice();
}
