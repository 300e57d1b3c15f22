/** Zoom and pan of the picture in its frame. A scale of 1 is the whole picture; its edges never come inside the frame. */

const STEP = 1.5; // factor of a key or a button
const WHEEL = 0.0022; // exponent of a pixel of the wheel: a notch enlarges by 1.25
const LEAST_MOST = 4; // small pictures may be enlarged this much; large ones to two screen pixels a pixel
const DOUBLE = [2, 5]; // a double click shows real pixels, but enlarges by at least and at most this
const GLIDE = 'transform .15s ease-out';
const LINE = 16; // pixels of a line, which some mice count in

export class Zoom {
  /** `changed` is called when scale or place have changed. */
  constructor(frame, image, changed) {
    Object.assign(this, { frame, image, changed, scale: 1, x: 0, y: 0, locked: false });
    frame.addEventListener('wheel', (event) => this.#wheel(event), { passive: false });
    frame.addEventListener('dblclick', (event) => { if (!event.target.closest('button, select, video')) this.double(event); });
    new ResizeObserver(() => this.to(this.scale)).observe(frame);
  }

  get zoomed() {
    return this.scale > 1.001;
  }

  /** Screen pixels along the longer side. */
  get pixels() {
    return Math.max(this.image.offsetWidth, this.image.offsetHeight) * this.scale * devicePixelRatio;
  }

  /** The scale at which a pixel of the picture is one of the page. */
  get real() {
    return (Number(this.image.getAttribute('width')) || this.image.naturalWidth) / this.image.offsetWidth || 1;
  }

  /** Show the whole picture. */
  reset() {
    Object.assign(this, { scale: 1, x: 0, y: 0 });
    this.#draw();
  }

  /** Zoom to a scale; what lies at `point` of the screen, by default in the middle of the frame, stays there. */
  to(scale, point = this.middle, smooth = false) {
    const next = Math.min(Math.max(scale, 1), Math.max(LEAST_MOST, 2 * this.real));
    const [cx, cy] = this.#centre();
    this.x = point.clientX - cx - ((point.clientX - cx - this.x) * next) / this.scale;
    this.y = point.clientY - cy - ((point.clientY - cy - this.y) * next) / this.scale;
    this.scale = next;
    this.pan(0, 0, smooth);
  }

  /** Zoom in or out by a step. */
  by(steps, point) {
    this.to(this.scale * STEP ** steps, point, true);
  }

  /** Switch between the whole picture and its real pixels, at a point. */
  double(point) {
    this.to(this.zoomed ? 1 : Math.min(Math.max(this.real, DOUBLE[0]), DOUBLE[1]), point, true);
  }

  /** Move the picture by so many pixels, as far as its edges allow. */
  pan(dx, dy, smooth = false) {
    const { frame, image, scale } = this;
    this.x = bounded(this.x + dx, image.offsetWidth * scale, frame.clientWidth, image.offsetLeft + image.offsetWidth / 2);
    this.y = bounded(this.y + dy, image.offsetHeight * scale, frame.clientHeight, image.offsetTop + image.offsetHeight / 2);
    image.style.setProperty('transition', smooth ? GLIDE : 'none');
    this.#draw();
  }

  /** Where the middle of the whole picture is on the screen. */
  #centre() {
    const { left, top } = this.frame.getBoundingClientRect();
    const { image } = this;
    return [left + image.offsetLeft + image.offsetWidth / 2, top + image.offsetTop + image.offsetHeight / 2];
  }

  /** The middle of the frame on the screen. */
  get middle() {
    const { left, top, width, height } = this.frame.getBoundingClientRect();
    return { clientX: left + width / 2, clientY: top + height / 2 };
  }

  #wheel(event) {
    event.preventDefault(); // neither scrolls, nor zooms the page, nor goes back in its history
    if (this.locked || event.target.closest('video')) return;
    const unit = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? LINE : 1;
    if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) this.pan(-event.deltaX * unit, 0);
    else this.to(this.scale * Math.exp(-event.deltaY * unit * WHEEL * (event.ctrlKey ? 4 : 1)), event); // ctrl: a pinch
  }

  #draw() {
    const { image, scale, x, y } = this;
    if (scale === 1) [this.x, this.y] = [0, 0];
    image.style.setProperty('transform', scale === 1 ? 'none' : `translate(${x}px, ${y}px) scale(${scale})`);
    this.frame.toggleAttribute('data-zoomed', this.zoomed);
    this.changed();
  }
}

/** The shift nearest to `shift` at which a picture of this size covers the frame; 0 if the picture is smaller than the frame. */
function bounded(shift, size, frame, centre) {
  if (size <= frame) return 0;
  return Math.min(Math.max(shift, frame - centre - size / 2), size / 2 - centre);
}
