/** The last searches, on this device only. */

const KEY = 'araclip.recent';
const MOST = 8;

/** Texts, the latest first. */
export function recent() {
  try {
    const found = JSON.parse(localStorage.getItem(KEY) ?? '[]');
    return Array.isArray(found) ? found.filter((text) => typeof text === 'string') : [];
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
  } catch { /* storage is off: nothing is remembered */ }
}
