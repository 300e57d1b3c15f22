/** Where a picture stands among others by date, of which an address tells no more than the id. */

import { details } from './api.js';
import { PAGE } from './picture-list.js';

const SOUGHT = 5; // pages of its month in which it is looked for

/** Fetch what stands around a picture in a list. Throws a Problem. */
export async function locate(list, id) {
  const { captured_at: day } = await details(id);
  await find(list, id, day?.slice(0, 7) ?? null);
}

/** Fetch the pages of a month, null for none, until a picture has come. */
export async function find(list, id, month) {
  let first = 0;
  for (const each of list.months) {
    const last = first + each.pictures;
    const sought = each.month === month ? Math.min(last, first + SOUGHT * PAGE) : first;
    for (let at = first; at < sought && list.indexOf(id) < 0; at += PAGE) await list.range(at, Math.min(last, at + PAGE));
    first = last;
  }
}
