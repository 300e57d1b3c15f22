/** Recent searches, stored on this device only. */

const KEY = 'araclip.recent';
const MOST = 8;

/** Texts, the latest first. */
export function recent() {
  try {
    const stored = JSON.parse(localStorage.getItem(KEY) ?? '[]');
    return Array.isArray(stored) ? stored.filter((text) => typeof text === 'string') : [];
  } catch {
    return [];
  }
}

export const remember = (text) => write([text, ...recent().filter((other) => other !== text)].slice(0, MOST));
export const forget = (text) => write(recent().filter((other) => other !== text));
export const forgetAll = () => write([]);

function write(texts) {
  try {
    if (texts.length) localStorage.setItem(KEY, JSON.stringify(texts));
    else localStorage.removeItem(KEY);
  } catch { /* storage is disabled: nothing is remembered */ }
}
