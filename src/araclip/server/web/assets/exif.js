/** The exposure, which the gallery does not store, from the EXIF block at the beginning of a file. Pure. */

const TAGS = { 0x829a: 'time', 0x829d: 'aperture', 0x8827: 'iso', 0x920a: 'focal' };
const TIFF = ['II*\0', 'MM\0*'];
const EXIF_BLOCK = 0x8769;
const SIZES = { 3: 2, 4: 4, 5: 8, 10: 8 }; // bytes of the types short, long, rational, signed rational
const MOST = 200; // entries of a directory

/** 'f/2.8 · 1/250 s · ISO 200 · 50 mm', without line breaks inside a value, as far as the bytes tell it; empty otherwise. */
export function exposure(bytes) {
  const start = tiffIn(bytes);
  if (start < 0) return '';
  try {
    const block = new Block(new DataView(bytes.buffer, bytes.byteOffset + start, bytes.byteLength - start));
    const { time, aperture, iso, focal } = block.facts();
    return [
      aperture > 0 && `f/${rounded(aperture)}`,
      time > 0 && `${time < 0.3 ? `1/${Math.round(1 / time)}` : rounded(time)}\u00a0s`,
      iso > 0 && `ISO\u00a0${iso}`,
      focal > 0 && `${rounded(focal)}\u00a0mm`,
    ].filter(Boolean).join(' · ');
  } catch { // a damaged block points outside of the bytes
    return '';
  }
}

const rounded = (value) => Math.round(value * 10) / 10;

/** Where the block begins: it has the signature of a TIFF file, wherever JPEG, HEIF, PNG or WebP put it. */
function tiffIn(bytes) {
  for (let at = 0; at < bytes.length - 4; at += 1) {
    if ((bytes[at] === 0x49 || bytes[at] === 0x4d) && TIFF.includes(String.fromCharCode(...bytes.subarray(at, at + 4)))) return at;
  }
  return -1;
}

class Block {
  constructor(view) {
    this.view = view;
    this.little = view.getUint8(0) === 0x49;
  }

  facts() {
    const found = {};
    const first = this.#entries(this.#long(4));
    const exif = first.get(EXIF_BLOCK);
    for (const [tag, value] of exif ? this.#entries(exif) : first) if (TAGS[tag]) found[TAGS[tag]] = value;
    return found;
  }

  /** The first number of each entry of a directory. */
  #entries(at) {
    const entries = new Map();
    const count = Math.min(MOST, this.#short(at));
    for (let i = 0; i < count; i += 1) {
      const entry = at + 2 + 12 * i;
      const [tag, type] = [this.#short(entry), this.#short(entry + 2)];
      if (SIZES[type]) entries.set(tag, this.#number(type, SIZES[type] > 4 ? this.#long(entry + 8) : entry + 8));
    }
    return entries;
  }

  #number(type, at) {
    if (type === 3) return this.#short(at);
    if (type === 4) return this.#long(at);
    return this.#long(at) / this.#long(at + 4);
  }

  #short(at) {
    return this.view.getUint16(at, this.little);
  }

  #long(at) {
    return this.view.getUint32(at, this.little);
  }
}
