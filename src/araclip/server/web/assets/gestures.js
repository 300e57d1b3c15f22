/** Fingers and the mouse on the picture: pinch, drag, double tap, swipe. The browser's own gestures are off there. */

const SLOP = 8; // pixels until a touch is a movement
const DOUBLE_MS = 300;
const DOUBLE_PX = 30;
const OURS = 'button, a, select, video, .crop'; // elements that handle pointers themselves

export class Gestures {
  constructor(stage, zoom, swipe) {
    Object.assign(this, { stage, zoom, swipe, fingers: new Map(), kind: '', tapped: { at: 0 } });
    stage.addEventListener('pointerdown', (event) => this.#down(event));
    stage.addEventListener('pointermove', (event) => this.#move(event));
    for (const name of ['pointerup', 'pointercancel']) stage.addEventListener(name, (event) => this.#up(event));
    // Safari goes back in the history from the screen's edge unless the touch is taken.
    stage.addEventListener('touchstart', (event) => { if (!event.target.closest(OURS)) event.preventDefault(); }, { passive: false });
  }

  #down(event) {
    if (event.button || event.target.closest(OURS) || this.zoom.locked) return;
    this.stage.setPointerCapture(event.pointerId);
    this.fingers.set(event.pointerId, event);
    if (this.fingers.size === 1) Object.assign(this, { kind: '', first: event, before: event, recent: null });
    else {
      if (this.kind === 'turn' || this.kind === 'down') this.swipe.reset();
      Object.assign(this, { kind: 'pinch', pair: this.#pair() });
    }
  }

  #move(event) {
    if (!this.fingers.has(event.pointerId)) return;
    const last = this.fingers.get(event.pointerId);
    this.fingers.set(event.pointerId, event);
    if (this.kind === 'pinch') this.#pinch();
    else if (this.fingers.size === 1) this.#drag(event, last);
  }

  #pinch() {
    if (this.fingers.size < 2) return;
    const [last, now] = [this.pair, this.#pair()];
    this.pair = now;
    this.zoom.to((this.zoom.scale * now.distance) / last.distance, last);
    this.zoom.pan(now.clientX - last.clientX, now.clientY - last.clientY);
  }

  #drag(event, last) {
    const [dx, dy] = [event.clientX - this.first.clientX, event.clientY - this.first.clientY];
    if (!this.kind) {
      if (Math.hypot(dx, dy) < SLOP) return;
      if (this.zoom.zoomed) this.kind = 'pan';
      else if (event.pointerType === 'mouse') this.kind = 'none';
      else this.kind = Math.abs(dx) > Math.abs(dy) ? 'turn' : dy > 0 ? 'down' : 'none';
    }
    if (this.kind === 'pan') this.zoom.pan(event.clientX - last.clientX, event.clientY - last.clientY);
    if (this.kind === 'turn' || this.kind === 'down') this.swipe.follow(dx, dy, this.kind === 'down');
    if (event.timeStamp - this.before.timeStamp > 60) [this.before, this.recent] = [this.recent ?? this.before, event];
  }

  #up(event) {
    if (!this.fingers.delete(event.pointerId)) return;
    if (this.kind === 'pinch') {
      if (!this.fingers.size) this.kind = '';
      else [this.first] = this.fingers.values();
      if (this.fingers.size === 1) this.kind = this.zoom.zoomed ? 'pan' : 'none'; // the finger that is left turns no page
      return;
    }
    if (this.fingers.size) return;
    const [dx, dy] = [event.clientX - this.first.clientX, event.clientY - this.first.clientY];
    const { kind } = this;
    this.kind = '';
    if (kind === 'turn' || kind === 'down') {
      if (event.type === 'pointercancel') this.swipe.reset();
      else {
        const since = Math.max(1, event.timeStamp - this.before.timeStamp);
        const way = kind === 'down' ? event.clientY - this.before.clientY : event.clientX - this.before.clientX;
        this.swipe.release(dx, dy, kind === 'down', way / since);
      }
    } else if (!kind && event.pointerType !== 'mouse') this.#tap(event);
  }

  #tap(event) {
    const { tapped } = this;
    const near = Math.hypot(event.clientX - tapped.clientX, event.clientY - tapped.clientY) < DOUBLE_PX;
    if (event.timeStamp - tapped.at < DOUBLE_MS && near) {
      this.zoom.double(event);
      this.tapped = { at: 0 };
    } else this.tapped = { at: event.timeStamp, clientX: event.clientX, clientY: event.clientY };
  }

  /** Distance and middle of two fingers. */
  #pair() {
    const [one, other] = this.fingers.values();
    return {
      distance: Math.max(1, Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY)),
      clientX: (one.clientX + other.clientX) / 2,
      clientY: (one.clientY + other.clientY) / 2,
    };
  }
}
