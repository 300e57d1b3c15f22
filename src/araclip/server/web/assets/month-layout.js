/**
 * Where each picture of a timeline stands: months of square tiles, whose heights follow from their counts alone. Pure.
 *
 * Months with so few pictures that they do not fill a row stand together.
 */

const GAP = 4;
const HEAD = 56; // pixels of a month's heading
const AFTER = 20; // pixels below a month

/**
 * The layout of months ([{ month, pictures }]) in a width.
 *
 * Returns { sections: [{ month, oldest, first, count, top, height }], height, columns, cell, count }; `first` is the
 * number of the section's first picture, `top` the place of its heading; the section goes back from `month` to `oldest`.
 */
export function layout(months, width) {
  const columns = Math.max(3, Math.round(width / (width < 600 ? 130 : 172)));
  const cell = (width - (columns - 1) * GAP) / columns;
  const sections = [];
  let [top, first] = [0, 0];
  for (const { month, oldest, pictures } of gathered(months, columns)) {
    const height = HEAD + Math.ceil(pictures / columns) * (cell + GAP) - GAP + AFTER;
    sections.push({ month, oldest, first, count: pictures, top, height });
    top += height;
    first += pictures;
  }
  return { sections, height: top, columns, cell, count: first };
}

function gathered(months, columns) {
  const out = [];
  for (const { month, pictures } of months) {
    const before = out.at(-1);
    const together = before?.month && month && before.pictures + pictures <= columns;
    if (together) out[out.length - 1] = { ...before, oldest: month, pictures: before.pictures + pictures };
    else out.push({ month, oldest: month, pictures });
  }
  return out;
}

/** The box of picture `index` in its section: { start, top, side }. */
export function boxOf({ columns, cell }, section, index) {
  const at = index - section.first;
  return { start: (at % columns) * (cell + GAP), top: HEAD + Math.floor(at / columns) * (cell + GAP), side: cell };
}

/** The section of picture `index`. */
export const sectionOf = ({ sections }, index) => sections[search(sections, ({ first }) => first <= index)];

/** The section at a distance from the top. */
export const sectionAt = ({ sections }, y) => sections[search(sections, ({ top }) => top <= y)];

/** The pictures of a section between two distances from the top: [first, one past the last]. */
export function between({ columns, cell }, section, from, to) {
  const row = (y) => Math.floor((y - section.top - HEAD) / (cell + GAP));
  const first = Math.max(0, row(from)) * columns;
  const last = Math.min(section.count, (row(to) + 1) * columns);
  return [section.first + Math.min(first, section.count), section.first + Math.max(0, last)];
}

/** The number of the picture that an arrow key leads to from picture `index`; `index` itself if there is none. */
export function beside(layout, index, { right = 0, down = 0 }) {
  const { columns, sections, count } = layout;
  if (right) return Math.min(count - 1, Math.max(0, index + right));
  const section = sectionOf(layout, index);
  const column = (index - section.first) % columns;
  const next = index + down * columns;
  if (next >= section.first && next < section.first + section.count) return next;
  const rows = Math.ceil(section.count / columns);
  const row = Math.floor((index - section.first) / columns);
  if (down > 0 && row < rows - 1) return section.first + section.count - 1;
  const other = sections[sections.indexOf(section) + down];
  if (!other) return index;
  const lastRow = Math.floor((other.count - 1) / columns) * columns;
  return other.first + Math.min(other.count - 1, (down > 0 ? 0 : lastRow) + column);
}

/** The last position whose entry satisfies `holds`; 0 if none does. */
function search(entries, holds) {
  let [low, high] = [0, entries.length - 1];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (holds(entries[middle])) low = middle;
    else high = middle - 1;
  }
  return low;
}
