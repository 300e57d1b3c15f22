/** Justified rows: pictures of equal height that fill the width exactly. Pure. */

const FLATTEST = 3.2; // wider panoramas are cropped in the grid
const TALLEST = 0.45;
const LARGER = 1.6; // a full row is at most so many times as high, or as low, as the target

/** Aspect ratio of a tile. */
export const ratioOf = ({ width, height }) => Math.min(FLATTEST, Math.max(TALLEST, width / height || 1));

/** The row height that suits a width: two pictures beside each other on a phone, about seven on a wide screen. */
export const heightFor = (width) => Math.round(Math.min(220, Math.max(124, 84 + width * 0.09)));

/**
 * Rows for pictures of these ratios.
 *
 * Returns { boxes: [{ start, top, width, height, row }], height, whole }; `start` is the distance from the
 * inline start (left or right); `whole` is the number of boxes in full rows. The last row, if not full, keeps the target height;
 * with `fill` it is made full with pictures of the row before it, or, where there are too few, larger and centred.
 */
export function justify(ratios, { width, target, gap, fill = false }) {
  const rows = [];
  for (let first = 0; first < ratios.length; first += rows.at(-1).count) rows.push(nextRow(ratios, first, { width, target, gap }));
  if (fill && rows.length && !rows.at(-1).full) fillLast(rows, ratios, { width, target, gap });
  const boxes = [];
  let top = 0;
  rows.forEach(({ first, count, height, start: indent = 0 }, row) => {
    let edge = indent; // exact; rounding edges, not widths, keeps the row's end aligned
    for (let i = first; i < first + count; i += 1) {
      const start = Math.round(edge);
      const end = edge + ratios[i] * height;
      boxes.push({ start, top, width: Math.round(end) - start, height: Math.round(height), row });
      edge = end + gap;
    }
    top += Math.round(height) + gap;
  });
  return { boxes, height: Math.max(0, top - gap), whole: rows.reduce((sum, { count, full }) => sum + (full ? count : 0), 0) };
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
      return { first, count: count - Number(fewer), height: fewer ? before : height, full: true };
    }
    before = height;
  }
  return { first, count: ratios.length - first, height: Math.min(target, before), full: false };
}

/** Share the pictures of the last two rows out anew, so that both are full and near to the target height. */
function fillLast(rows, ratios, { width, target, gap }) {
  const last = rows.pop();
  const { first } = rows.at(-1) ?? last;
  const across = (from, to) => { // a full row of these pictures
    const height = (width - (to - from - 1) * gap) / ratios.slice(from, to).reduce((sum, ratio) => sum + ratio, 0);
    return { first: from, count: to - from, height, full: true };
  };
  const ways = [[across(first, ratios.length)]];
  for (let at = first + 1; at < ratios.length; at += 1) ways.push([across(first, at), across(at, ratios.length)]);
  const off = (way) => Math.max(...way.map(({ height }) => Math.abs(Math.log(height / target))));
  const best = ways.reduce((one, other) => (off(other) < off(one) ? other : one));
  if (off(best) <= Math.log(LARGER)) rows.splice(-1, rows.length ? 1 : 0, ...best);
  else { // too few
    const { height } = across(last.first, ratios.length);
    const high = Math.min(height, target * LARGER);
    rows.push({ ...last, height: high, start: ((height - high) / height) * (width - (last.count - 1) * gap) / 2 });
  }
}
