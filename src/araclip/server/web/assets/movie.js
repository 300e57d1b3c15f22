/** Videos: the time of a scene on its tile, and the video in the viewer, which begins there. */

import * as api from './api.js';
import { el, icon, setStyle } from './dom.js';
import { clock } from './i18n.js';

const STILL = 1600; // pixels of the longer side of the still

export const isScene = (item) => typeof item?.time === 'number';

/** The time of a scene, for its tile; false for a picture. */
export const timeCode = (item) => isScene(item) && el('span.time', { 'aria-hidden': 'true' }, icon('play'), clock(item.time));

export class Movie {
  /** `figure` holds the still; `unplayed` is called when the browser cannot play a video, and the still is seen. */
  constructor(figure, unplayed) {
    Object.assign(this, { figure, unplayed, id: '' });
  }

  /** Show the video of a scene at its time, paused; nothing for a picture. */
  show(item) {
    if (item.id === this.id) return; // only its details have come
    this.hide();
    if (!isScene(item)) return;
    this.id = item.id;
    const video = el('video', {
      src: `${api.picture(item.id)}#t=${item.time}`, poster: api.thumbnail(item.id, STILL), controls: true, playsInline: true,
      preload: 'metadata', 'aria-label': item.name ?? '',
    });
    video.addEventListener('error', () => { if (this.video === video) { this.#remove(); this.unplayed(); } });
    if (item.width) setStyle(video, { '--ratio': item.width / item.height });
    this.video = video;
    this.figure.append(video);
  }

  hide() {
    this.id = '';
    this.#remove();
  }

  #remove() {
    const { video } = this;
    if (!video) return;
    this.video = null;
    video.pause();
    video.removeAttribute('src');
    video.load(); // ends its request
    video.remove();
  }
}
