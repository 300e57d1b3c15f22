/**
 * Pictures that people drop, paste or pick: made small here, kept for this visit, named by a key that the address holds.
 * Redrawing a picture also leaves its metadata behind, the place it was taken among them.
 */

const LONGEST = 768; // pixels: above what any model looks at (224 to 512), and about 100 kB as JPEG
const QUALITY = 0.9;
const PREFIX = 'araclip.picture.';
const inMemory = new Map();

/**
 * Keep a picture file; returns its key.
 * Throws what createImageBitmap throws when the browser cannot read it.
 */
export async function keep(file) {
  const bitmap = await createImageBitmap(file);
  const scale = Math.min(1, LONGEST / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement('canvas');
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  const pen = canvas.getContext('2d');
  pen.fillStyle = '#fff'; // JPEG knows no transparency
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  const data = canvas.toDataURL('image/jpeg', QUALITY);
  const key = keyOf(data);
  inMemory.set(key, data);
  store(PREFIX + key, data);
  return key;
}

/** The data URL of a kept picture, or null when this visit knows none of that key. */
export function dataOf(key) {
  return inMemory.get(key) ?? sessionStorage.getItem(PREFIX + key);
}

/** The first picture among dropped or pasted things, or null. */
export const pictureIn = (transfer) => [...(transfer?.files ?? [])].find(({ type }) => type.startsWith('image/')) ?? null;

function store(key, data) {
  try {
    sessionStorage.setItem(key, data);
  } catch { // full: the oldest make room; without room at all it lasts until the page is reloaded
    for (const old of Object.keys(sessionStorage)) if (old.startsWith(PREFIX)) sessionStorage.removeItem(old);
    try { sessionStorage.setItem(key, data); } catch { /* in memory only */ }
  }
}

/** 64 bits of FNV-1a in two halves: enough to tell a visit's pictures apart (crypto.subtle needs https). */
function keyOf(text) {
  let [a, b] = [0x811c9dc5, 0x01234567];
  for (let i = 0; i < text.length; i += 1) {
    a = Math.imul(a ^ text.charCodeAt(i), 0x01000193);
    b = Math.imul(b ^ text.charCodeAt(text.length - 1 - i), 0x01000193);
  }
  return [a, b].map((half) => (half >>> 0).toString(36)).join('');
}
