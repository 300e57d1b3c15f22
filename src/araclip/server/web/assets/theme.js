/** Light or dark theme: the system's preference until the switch is used. */

import { $, icon } from './dom.js';
import { t } from './i18n.js';
import { ofDevice } from './storage.js';

const root = document.documentElement;
const system = matchMedia('(prefers-color-scheme: dark)');

const isDark = () => (root.dataset.theme ? root.dataset.theme === 'dark' : system.matches);

export function startTheme() {
  $('theme').addEventListener('click', () => {
    root.dataset.theme = isDark() ? 'light' : 'dark';
    ofDevice.set('araclip.theme', root.dataset.theme);
    showTheme();
  });
  system.addEventListener('change', showTheme);
  showTheme();
}

/** Label the switch with the theme that it switches to. */
export function showTheme() {
  const other = isDark() ? 'light' : 'dark';
  $('theme').replaceChildren(icon(other));
  $('theme').setAttribute('aria-label', t(other));
  $('theme').title = t(other);
}
