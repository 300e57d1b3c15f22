/** Making and finding elements. */

export const $ = (id) => document.getElementById(id);

/** el('button.quiet', { 'aria-label': …, onclick: …, style: { '--r': 1.5 } }, child, …); what is null or false is left out. */
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

/** Styles one by one: a style attribute would be stopped by the content security policy. */
export function setStyle(node, styles) {
  for (const [name, value] of Object.entries(styles)) node.style.setProperty(name, value);
}

const SVG = 'http://www.w3.org/2000/svg';

/** A drawing out of icons.svg, in the colour of the text; invisible to screen readers. */
export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('class', 'icon');
  svg.dataset.icon = name;
  svg.setAttribute('aria-hidden', 'true');
  const use = document.createElementNS(SVG, 'use');
  use.setAttribute('href', `assets/icons.svg#${name}`);
  svg.append(use);
  return svg;
}

/** A button with an icon; without `text` the label is its name. */
export function button(kind, name, label, onclick, text) {
  return el(`button.${kind}`, { type: 'button', onclick, 'aria-label': text ? null : label, title: text ? null : label },
    icon(name), text && el('span', {}, text));
}
