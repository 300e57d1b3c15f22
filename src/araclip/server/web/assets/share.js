/** A link to the current search, for people without a token. */

import { filterTexts } from './address.js';
import { FAIR, day, t } from './i18n.js';
import * as api from './browsing-api.js';
import { button, el, styled } from './dom.js';
import { toast } from './toast.js';

const DAYS = [1, 7, 30];

/** Ask for how long, make the link, show it for copying. */
export async function askToShare(state) {
  await styled('share.css');
  const dialog = el('dialog.asked', { 'aria-label': t('shareLink') });
  const problem = el('p.refused', { role: 'alert' });
  const choices = DAYS.map((n) => el('label.pill', {}, el('input', { type: 'radio', name: 'days', value: n, checked: n === 7 }), el('span', {}, t('days', { n }))));
  const form = el('form', { method: 'dialog' },
    el('h2', {}, t('shareLink')), el('p.soft', {}, t('shareDetail')),
    el('fieldset', {}, el('legend.soft', {}, t('shareDays')), el('div.choices', {}, choices)), problem,
    button('solid', 'share', null, make, t('makeLink')), button('bare.shut', 'close', t('close'), () => dialog.close()));
  dialog.append(form);
  dialog.addEventListener('close', () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();

  async function make(event) {
    event.preventDefault();
    const search = { q: state.q, where: filterTexts(state), threshold: state.strong ? FAIR : 0, collapse: state.collapse ? 'near' : null, literal: state.literal, ignore: state.ignore };
    try {
      const { address, expires, pictures } = await api.share(search, Number(new FormData(form).get('days')));
      show(new URL(address, document.baseURI).href, expires, pictures);
    } catch (error) {
      problem.textContent = [error.title, error.detail].filter(Boolean).join('. ');
    }
  }

  function show(link, expires, pictures) {
    const field = el('input', { readonly: true, value: link, dir: 'ltr', 'aria-label': t('link') });
    const until = t('sharedUntil', { date: day(expires) });
    form.querySelector('fieldset').replaceWith(field, el('p.soft', {}, `${t('pictures', { n: pictures })} · ${until}`));
    form.querySelector('.solid').replaceWith(button('solid', 'copy', null, async () => {
      field.select();
      try {
        await navigator.clipboard.writeText(link);
        toast(t('copiedLink'));
      } catch {
        toast(t('notCopied'));
      }
    }, t('copyLink')));
    field.focus();
    field.select();
  }
}
