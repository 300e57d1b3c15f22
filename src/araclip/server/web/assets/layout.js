/** Justified rows: pictures of equal height that fill the width exactly. Pure. */

const FLATTEST = 3.2; // wider panoramas are cropped in the grid
const TALLEST = 0.45;

/** Aspect ratio of a tile. */
export const ratioOf = ({ width, height }) => Math.min(FLATTEST, Math.max(TALLEST, width / height || 1));

/** The row height that suits a width: two pictures beside each other on a phone, about seven on a wide screen. */
export const heightFor = (width) => Math.round(Math.min(220, Math.max(124, 84 + width * 0.09)));

/**
 * Rows for pictures of these ratios.
 *
 * Returns { boxes: [{ start, top, width, height, row }], height, whole }; `start` is the distance from the
 * inline start (left or right); `whole` is the number of boxes in full rows. The last row, if not full, keeps the target height.
 */
export function justify(ratios, { width, target, gap }) {
  const boxes = [];
  let [top, first, row] = [0, 0, 0];
  let whole = 0;
  while (first < ratios.length) {
    const { count, height, full } = nextRow(ratios, first, { width, target, gap });
    let edge = 0; // exact; rounding edges, not widths, keeps the row's end aligned
    for (let i = first; i < first + count; i += 1) {
      const start = Math.round(edge);
      const end = edge + ratios[i] * height;
      boxes.push({ start, top, width: Math.round(end) - start, height: Math.round(height), row });
      edge = end + gap;
    }
    first += count;
    if (full) whole = first;
    top += Math.round(height) + gap;
    row += 1;
  }
  return { boxes, height: Math.max(0, top - gap), whole };
}

/** How many pictures from `first` on make a row whose height comes nearest to the target. */
function nextRow(ratios, first, { width, target, gap }) {
  let sum = 0;
  let before = Infinity;
  for (let count = 1; first + count <= ratios.length; count += 1) {
    sum += ratios[first + count - 1];
    const height = (width - (count - 1) * gap) / sum;
    if (height <= target) {
      const fewer = count > 1 && before / target < target / height; // one picture less comes nearer to the target
      return { count: count - Number(fewer), height: fewer ? before : height, full: true };
    }
    before = height;
  }
  return { count: ratios.length - first, height: Math.min(target, before), full: false };
}
