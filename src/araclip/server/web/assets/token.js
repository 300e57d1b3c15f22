/** The dialog that asks for an access token. */

import { signIn } from './api.js';
import { $, el } from './dom.js';
import { t } from './i18n.js';

let asking = null;

/** Ask until the server accepts a token. Several callers share one dialog. */
export function askForToken() {
  asking ??= dialog().finally(() => { asking = null; });
  return asking;
}

function dialog() {
  const box = $('token');
  const field = el('input', { type: 'password', name: 'token', required: true, autocomplete: 'off', dir: 'ltr', id: 'token-field', 'aria-describedby': 'token-error' });
  const refused = el('p.refused', { id: 'token-error', role: 'alert' });
  return new Promise((accepted) => {
    const form = el('form', {
      onsubmit: async (event) => {
        event.preventDefault();
        refused.textContent = '';
        try {
          await signIn(field.value.trim());
          box.onclose = null;
          box.close();
          accepted();
        } catch (problem) {
          refused.textContent = problem.status === 401 ? t('tokenRefused') : `${problem.title}. ${problem.detail ?? ''}`;
          field.setAttribute('aria-invalid', 'true');
          field.select();
        }
      },
    },
    el('h2', { id: 'token-title' }, t('tokenTitle')), el('p', {}, t('tokenDetail')),
    el('label', { for: 'token-field' }, t('token')), field, refused, el('button.solid', { type: 'submit' }, t('enter')));
    box.setAttribute('aria-labelledby', 'token-title');
    box.oncancel = (event) => event.preventDefault();
    box.onclose = () => { // Escape pressed twice may not be prevented, and there is nothing behind the dialog
      box.showModal();
      field.focus();
    };
    box.replaceChildren(form);
    if (!box.open) box.showModal();
    field.focus();
  });
}
