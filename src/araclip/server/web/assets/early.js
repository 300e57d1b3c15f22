// Sets language and theme before the first paint, to avoid flicker. All other scripts are modules.
(() => {
  const root = document.documentElement;
  const stored = (key) => { try { return localStorage.getItem(key); } catch { return null; } };
  const spoken = navigator.languages.map((tag) => tag.split('-')[0]).find((each) => each === 'ar' || each === 'en');
  if ((stored('araclip.language') ?? spoken) === 'en') Object.assign(root, { lang: 'en', dir: 'ltr' });
  const theme = stored('araclip.theme');
  if (theme === 'light' || theme === 'dark') root.dataset.theme = theme;
})();
