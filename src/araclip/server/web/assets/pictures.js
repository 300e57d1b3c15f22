/**
 * Query pictures (dropped, pasted or picked): reduced in size, stored for this tab, and named by a key in the URL.
 * Redrawing removes the metadata, such as the location. What the browser cannot read, the server converts.
 */

import { ofTab } from './storage.js';

const LONGEST = 768; // pixels: more than any model's input (224 to 512), about 100 kB as JPEG
const QUALITY = 0.9;
const PREFIX = 'araclip.picture.';
const inMemory = new Map();

/** Store a picture file; returns its key. `reads`: the formats that the server reads. Throws a Problem. */
export async function storePicture(file, reads) {
  const bitmap = await createImageBitmap(file).catch(async () => (await import('./unread.js')).readByServer(file, reads));
  const scale = Math.min(1, LONGEST / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement('canvas');
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  const context = canvas.getContext('2d');
  context.fillStyle = '#fff'; // JPEG has no transparency
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  const data = canvas.toDataURL('image/jpeg', QUALITY);
  const key = keyOf(data);
  inMemory.set(key, data);
  store(PREFIX + key, data);
  return key;
}

/** The data URL of a stored picture, or null if there is none with this key. */
export function dataOf(key) {
  return inMemory.get(key) ?? ofTab.get(PREFIX + key);
}

/** The first picture of a DataTransfer, or null. Browsers name no type for some formats, such as HEIC. */
export const pictureIn = (transfer) => [...(transfer?.files ?? [])].find(({ type }) => !type || type.startsWith('image/')) ?? null;

function store(key, data) {
  if (ofTab.set(key, data)) return;
  ofTab.drop(PREFIX); // full: without other pictures, this one may fit; else it is in memory only
  ofTab.set(key, data);
}

/** 64 bits of FNV-1a in two halves: enough for the pictures of one tab (crypto.subtle needs https). */
function keyOf(text) {
  let [a, b] = [0x811c9dc5, 0x01234567];
  for (let i = 0; i < text.length; i += 1) {
    a = Math.imul(a ^ text.charCodeAt(i), 0x01000193);
    b = Math.imul(b ^ text.charCodeAt(text.length - 1 - i), 0x01000193);
  }
  return [a, b].map((half) => (half >>> 0).toString(36)).join('');
}
