/** The search box: submitting, clearing, staying in sight. */

import { $, setStyle } from './dom.js';

/** Call `submit` with the text when Enter or the button is pressed. */
export function listenToSearchBox(submit) {
  const [field, clear] = [$('query'), $('clear')];
  $('search').addEventListener('submit', (event) => {
    event.preventDefault();
    if (matchMedia('(hover: none)').matches) field.blur(); // hides the on-screen keyboard
    submit(field.value.trim());
  });
  field.addEventListener('input', () => { clear.hidden = !field.value; });
  clear.addEventListener('click', () => {
    field.value = '';
    clear.hidden = true;
    field.focus();
  });
  // Of the header the box alone stays in sight: `--above` is the height of what scrolls away.
  new ResizeObserver(() => setStyle($('top'), { '--above': `${$('search').offsetTop - $('top').offsetTop}px` })).observe($('top'));
}
