/** The picture in the viewer, ever sharper: a thumbnail at once, then a preview, then the original where that is needed. */

import * as api from './api.js';
import { setStyle } from './dom.js';
import { isScene } from './movie.js';

const THUMBNAIL = 512; // pixels of the longer side, as the server makes them
const PREVIEW = 1600;

export class Photo {
  /** `image` is the <img>; `unshown` is called when the browser cannot show an original. */
  constructor(image, unshown) {
    Object.assign(this, { image, unshown, item: null });
  }

  /** Show a picture: a result, or { id } alone until its details are there. */
  show(item) {
    Object.assign(this, { item, level: 0, asked: 0, loading: Promise.resolve() });
    const { image } = this;
    image.alt = item.name ?? '';
    for (const name of ['--width', '--ratio', '--placeholder']) image.style.removeProperty(name);
    image.removeAttribute('width');
    image.removeAttribute('height');
    if (item.placeholder) setStyle(image, { '--placeholder': `url("${item.placeholder}")` });
    image.removeAttribute('src'); // or the last picture would be seen, under this one's name, until this one has come
    image.src = api.thumbnail(item.id, THUMBNAIL);
    fit(image, item);
  }

  /** Take over what the details say of the picture that is shown. */
  describe(item) {
    this.item = item;
    this.image.alt = item.name;
    fit(this.image, item);
  }

  /** Load a version that is sharp enough for so many screen pixels along the longer side. */
  sharpen(pixels) {
    if (!this.item?.width) return this.loading;
    const level = pixels > PREVIEW && !isScene(this.item) ? 2 : first(this.item);
    if (level > this.asked) {
      this.asked = level;
      this.loading = this.#load(this.item.id, level);
    }
    return this.loading;
  }

  /** Load the original, whatever its size on the screen. */
  original() {
    return this.sharpen(Infinity);
  }

  async #load(id, level) {
    const source = level === 2 ? api.picture(id) : api.thumbnail(id, PREVIEW);
    const found = await loaded(source);
    if (this.item.id !== id) return;
    if (!found && level === 2) {
      this.unshown();
      if (!this.level) await this.#load(id, 1);
    } else if (found && level > this.level) {
      this.level = level;
      this.image.src = source;
    }
  }
}

/** Load a picture that will be shown next, in the version that comes after the thumbnail. */
export const prefetch = (item) => loaded(first(item) === 2 ? api.picture(item.id) : api.thumbnail(item.id, PREVIEW));

/** Give an <img> the size and the ratio of a picture, if they are known. */
export function fit(image, { width, height }) {
  if (!width) return;
  Object.assign(image, { width, height });
  setStyle(image, { '--width': width, '--ratio': width / height });
}

/** The version after the thumbnail: 2, the original, for small pictures, which may be animated; else 1, the preview. */
const first = (item) => (Math.max(item.width, item.height) <= PREVIEW && !isScene(item) ? 2 : 1);

async function loaded(source) {
  const image = new Image();
  image.src = source;
  try {
    await image.decode();
    return true;
  } catch { // a format that the browser does not know, or no answer
    return false;
  }
}
