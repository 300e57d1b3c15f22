/** What the browser keeps, for a tab or for this device. Where it is disabled or full, nothing is kept, and the page goes on. */

const area = (name) => ({
  get(key) {
    try { return window[name].getItem(key); } catch { return null; }
  },
  /** Store a value; returns whether it was kept. */
  set(key, value) {
    try { window[name].setItem(key, value); return true; } catch { return false; }
  },
  /** Forget every key that begins with `prefix`. */
  drop(prefix) {
    try { for (const key of Object.keys(window[name])) if (key.startsWith(prefix)) window[name].removeItem(key); } catch { /* nothing was kept */ }
  },
});

export const ofTab = area('sessionStorage');
export const ofDevice = area('localStorage');
