/** Recent searches, stored on this device only. */

import { ofDevice } from './storage.js';

const KEY = 'araclip.recent';
const MOST = 8;

/** The texts of recent searches, the latest first. */
export function recent() {
  try {
    const stored = JSON.parse(ofDevice.get(KEY) ?? '[]');
    return Array.isArray(stored) ? stored.filter((text) => typeof text === 'string') : [];
  } catch {
    return [];
  }
}

export const remember = (text) => write([text, ...recent().filter((other) => other !== text)].slice(0, MOST));
export const forget = (text) => write(recent().filter((other) => other !== text));
export const forgetAll = () => write([]);

function write(texts) {
  if (texts.length) ofDevice.set(KEY, JSON.stringify(texts));
  else ofDevice.drop(KEY);
}
