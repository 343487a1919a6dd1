// Pictures that flicker can be stopped, and changed by hand. Without this script they go on.
const still = matchMedia('(prefers-reduced-motion: reduce)').matches;
for (const card of document.querySelectorAll('.flicker')) {
  const [pause, swap] = card.querySelectorAll('button');
  const which = card.querySelector('.which');
  const pictures = card.querySelectorAll('.stack img');
  const stop = (on) => {
    card.classList.toggle('still', on);
    pause.setAttribute('aria-pressed', String(on));
    pause.textContent = on ? 'Go on' : 'Pause';
    const seen = card.classList.contains('swapped') ? pictures[0] : pictures[1];
    which.textContent = on ? seen.alt : '';
  };
  pause.addEventListener('click', () => stop(!card.classList.contains('still')));
  swap.addEventListener('click', () => {
    card.classList.toggle('swapped');
    stop(true);
  });
  card.querySelector('.controls').hidden = false;
  if (still) stop(true);
}
