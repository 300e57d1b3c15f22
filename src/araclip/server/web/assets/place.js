/** The entries of the history: how far the page is scrolled in each, for the ways back and forward and for a reload. */

const SETTLED_MS = 150; // milliseconds without scrolling
let there = false; // whether the page shows what the entry asks for
let settling;

function keepPlace() {
  if (there) history.replaceState({ ...history.state, scroll: scrollY }, '');
}

/** Add an entry for an address, or with `replace` change the present one; `viewing`: whether the viewer is open in the present one. */
export function enter(address, { replace, viewing }) {
  keepPlace();
  const inside = viewing ? history.state?.inside && history.state.inside + 1 : 1; // entries since the last one without the viewer
  history[replace ? 'replaceState' : 'pushState']({ inside }, '', address);
}

/** Go back to the last entry without the viewer, if there is one; returns whether there is. */
export function leaveViewer() {
  const { inside } = history.state ?? {};
  if (inside) history.go(-inside);
  return Boolean(inside);
}

/** Another entry is shown from now on; how far it is scrolled is not known before `goTo`. */
export const leavePlace = () => { there = false; };

export function goTo(place = 0) {
  scrollTo(0, place);
  there = true;
}

history.scrollRestoration = 'manual';
addEventListener('scroll', () => { clearTimeout(settling); settling = setTimeout(keepPlace, SETTLED_MS); }, { passive: true });
addEventListener('pagehide', keepPlace);
