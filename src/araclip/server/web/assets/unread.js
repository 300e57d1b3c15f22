/** Query pictures that the browser cannot read, such as TIFF and HEIC: the server reads them, and says why where it cannot. */

import { request } from './api.js';
import { listed, t } from './i18n.js';
import { Problem } from './problems.js';

const OF_BROWSERS = /^image\/(jpeg|png|webp|gif|bmp|avif)$/; // such a file is damaged, or is something else

/** The bitmap of a picture file. `reads`: the formats that the server reads. Throws a Problem. */
export async function readByServer(file, reads = []) {
  const title = t('badPicture');
  if (!file || OF_BROWSERS.test(file.type)) throw new Problem({ title, detail: t('badPictureDetail', { formats: listed(reads) }) });
  const form = new FormData();
  form.set('file', file);
  const converted = await request('thumbnails', { form, raw: true });
  return createImageBitmap(new Blob([converted], { type: 'image/webp' }));
}
