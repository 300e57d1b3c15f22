/** Creating and finding elements. */

export const $ = (id) => document.getElementById(id);

/** el('button.quiet', { 'aria-label': …, onclick: …, style: { '--r': 1.5 } }, child, …); null, undefined and false are skipped. */
export function el(tag, properties = {}, ...children) {
  const [name, ...classes] = tag.split('.');
  const node = document.createElement(name);
  if (classes.length) node.className = classes.join(' ');
  for (const [key, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith('on')) node.addEventListener(key.slice(2), value);
    else if (key === 'style') setStyle(node, value);
    else node.setAttribute(key, value === true ? '' : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** Put other children into a node; the focus stays on a link if one to the same place is among them. */
export function renew(node, children) {
  const { href } = node.contains(document.activeElement) ? document.activeElement : {};
  node.replaceChildren(...children);
  if (href) [...node.querySelectorAll('a')].find((link) => link.href === href)?.focus({ preventScroll: true });
}

/** A listener for clicks on a link that calls `act` instead; with Ctrl, Shift or the like a new tab or window opens as everywhere. */
export const plainly = (act) => (event) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.defaultPrevented) return;
  event.preventDefault();
  act();
};

/** A stranger's text with its found words in <mark>; `marks` count characters, not UTF-16 units. */
export function marked({ text, marks }) {
  const letters = [...text];
  const pieces = [];
  let done = 0;
  for (const [start, end] of marks) {
    pieces.push(letters.slice(done, start).join(''), el('mark', {}, letters.slice(start, end).join('')));
    done = end;
  }
  return el('bdi', {}, ...pieces, letters.slice(done).join(''));
}

/** Sets styles one by one, since the content security policy blocks style attributes. */
export function setStyle(node, styles) {
  for (const [name, value] of Object.entries(styles)) node.style.setProperty(name, value);
}

const sheets = {};

/** Apply a further style sheet of the page's own. Whoever asks for it waits until it has come; after an error it is fetched again. */
export const styled = (name) => sheets[name] ??= new Promise((come, failed) => {
  const retry = (error) => { link.remove(); sheets[name] = null; failed(error); };
  const link = el('link', { rel: 'stylesheet', href: new URL(name, import.meta.url), onload: () => come(link), onerror: retry });
  document.head.append(link);
});

const SVG = 'http://www.w3.org/2000/svg';

/** Put all icons into the page, so that a later one needs no request and no network. */
export async function loadIcons() {
  const answer = await fetch(new URL('icons.svg', import.meta.url));
  const sprite = new DOMParser().parseFromString(await answer.text(), 'image/svg+xml').documentElement;
  for (const symbol of sprite.children) symbol.id = `icon-${symbol.id}`;
  sprite.setAttribute('hidden', '');
  document.body.append(sprite);
}

/** An icon from icons.svg in the colour of the text, hidden from screen readers. */
export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('class', 'icon');
  svg.dataset.icon = name;
  svg.setAttribute('aria-hidden', 'true');
  const use = document.createElementNS(SVG, 'use');
  use.setAttribute('href', `#icon-${name}`);
  svg.append(use);
  return svg;
}

/** A button with an icon; without `text`, `label` is its accessible name. */
export function button(kind, name, label, onclick, text) {
  return el(`button.${kind}`, { type: 'button', onclick, 'aria-label': text ? null : label, title: text ? null : label },
    icon(name), text && el('span', {}, text));
}
