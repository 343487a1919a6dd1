// Shows the series of a study with NiiVue. The images stand in the page, as base64.
const stacks = JSON.parse(document.getElementById('data').textContent);
const pick = (id) => document.getElementById(id);
const say = (text) => { pick('status').textContent = text; };

const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer;

async function add(nv, name, data) {
  await nv.loadFromArrayBuffer(bytes(data), `${name}.nii.gz`);
  return nv.volumes[nv.volumes.length - 1];
}

async function show(nv, stack) {
  say('Loading …');
  while (nv.volumes.length) nv.removeVolume(nv.volumes[0]);
  const layers = {};
  await add(nv, 'image', stack.image);
  if (stack.mask) {
    layers.mask = await add(nv, 'mask', stack.mask);
    layers.mask.colormap = 'red';
    layers.mask.cal_min = 0.5;
    layers.mask.cal_max = 1;
  }
  if (stack.labels) {
    layers.labels = await add(nv, 'labels', stack.labels);
    layers.labels.setColormapLabel(stack.legend);
  }
  pick('mask').checked = !layers.labels;  // colours upon a colour cannot be told apart
  for (const name of ['mask', 'labels']) pick(`for-${name}`).hidden = !layers[name];
  pick('for-opacity').hidden = !(layers.mask || layers.labels);
  return layers;
}

function blend(nv, layers) {
  for (const [name, volume] of Object.entries(layers)) {
    volume.opacity = pick(name).checked ? Number(pick('opacity').value) : 0;
  }
  nv.updateGLVolume();
}

async function start() {
  const nv = new window.mrrateNiivue({
    backColor: [0, 0, 0, 1],
    crosshairColor: [1, 0.7, 0.2, 0.7],
    crosshairWidth: 0.7,
    crosshairWidthUnit: 'mm',
    dragAndDropEnabled: false,
    isResizeCanvas: true,
    loadingText: '',
    onLocationChange: (place) => say(place.string),
  });
  await nv.attachToCanvas(pick('canvas'));
  let layers = {};
  const change = async () => {
    layers = await show(nv, stacks[Number(pick('series').value)]);
    blend(nv, layers);
    say('Click to move, wheel to scroll, V to change the view.');
    document.body.dataset.ready = pick('series').value;
  };
  pick('series').addEventListener('change', change);
  for (const id of ['mask', 'labels', 'opacity']) {
    pick(id).addEventListener('input', () => blend(nv, layers));
  }
  await change();
}

start().catch((error) => {
  say(`The images cannot be shown here: ${error.message}`);
  document.body.dataset.failed = error.message;
});
