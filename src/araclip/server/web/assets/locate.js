/** Find the place of a picture in a list by date when an address tells only its id. */

import { details } from './api.js';
import { PAGE } from './picture-list.js';

const SOUGHT = 5; // most pages of its month in which a picture is looked for

/** Fetch the pages of a list in which a picture is looked for. Throws a Problem. */
export async function locate(list, id) {
  const { captured_at: day } = await details(id);
  await find(list, id, day?.slice(0, 7) ?? null);
}

/** Fetch the pages of a month (null: of pictures without a date) until a picture has come. */
export async function find(list, id, month) {
  let first = 0;
  for (const each of list.months) {
    const last = first + each.pictures;
    const sought = each.month === month ? Math.min(last, first + SOUGHT * PAGE) : first;
    for (let at = first; at < sought && list.indexOf(id) < 0; at += PAGE) await list.range(at, Math.min(last, at + PAGE));
    first = last;
  }
}
