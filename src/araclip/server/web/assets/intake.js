/** Query pictures: picked with the button, pasted, dropped anywhere on the page, or shared by another app. */

import { $ } from './dom.js';
import { receiveShared } from './installed.js';
import { pictureIn } from './pictures.js';
import { toFront } from './toast.js';

const drop = $('drop');

/** Call `take` with each picture file, and with null for a dropped file that is not a picture. */
export function listenForPictures(take) {
  receiveShared(take);
  $('pick').addEventListener('click', () => $('file').click());
  $('file').addEventListener('change', () => {
    if ($('file').files[0]) take($('file').files[0]);
    $('file').value = ''; // the same file may be picked again
  });
  addEventListener('paste', (event) => {
    const file = pictureIn(event.clipboardData);
    if (!file || isText(event)) return; // text is pasted into the field
    event.preventDefault();
    take(file);
  });
  addEventListener('dragover', (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    if (!drop.checkVisibility()) toFront(drop);
    document.body.dataset.drop = '';
  });
  addEventListener('dragleave', (event) => { if (!event.relatedTarget) delete document.body.dataset.drop; });
  addEventListener('drop', (event) => {
    delete document.body.dataset.drop;
    if (!holdsFiles(event)) return;
    event.preventDefault();
    take(pictureIn(event.dataTransfer));
  });
}

/** Whether text is pasted into a field that comes with a picture of itself, as cells and paragraphs of office programs do. */
const isText = ({ target, clipboardData: { types } }) => target.matches?.('input') && ['text/plain', 'text/html'].every((type) => types.includes(type));
const holdsFiles = ({ dataTransfer }) => [...dataTransfer.types].includes('Files');
