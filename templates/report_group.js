// The table of all images: sorted, filtered, and a page of it in the document at a time.
'use strict';
(() => {
  const PAGE = 50;
  const data = JSON.parse(document.getElementById('data').textContent);
  const columns = data.columns;
  const byName = Object.fromEntries(columns.map((column) => [column.name, column]));
  const [filters, table, pager, where] =
    ['filters', 'table', 'pager', 'where'].map((id) => document.getElementById(id));
  const everything = Array.from({length: data.rows}, (_, row) => row);
  const SEARCHED = ['study', 'outlier', 'series', 'scanner', 'outdated', 'problems'];

  let order = everything; // rows as they are sorted
  let shown = everything; // those of them that the filters let through
  let first = 0;
  let sorted = null;
  let down = false;

  const make = (tag, text, attributes = {}) => {
    const element = document.createElement(tag);
    element.textContent = text;
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  };
  const textOf = (column, row) => {
    const value = column.values[row];
    if (value === null) return '';
    if (column.levels) return column.levels[value];
    return column.name === 'score' ? value.toFixed(1) : String(value);
  };

  // Which texts of a column hold what is searched is found once for each text, not for each row.
  const matches = (words) => {
    const hits = SEARCHED.map((name) => [
      byName[name].values,
      byName[name].levels.map((level) => words.map((word) => level.toLowerCase().includes(word))),
    ]);
    return (row) => words.every((_, word) => hits.some(
      ([values, found]) => values[row] !== null && found[values[row]][word]));
  };

  const choose = () => {
    const asked = new FormData(filters);
    const tests = ['suffix', 'scanner', 'state'].filter((name) => asked.get(name)).map((name) => {
      const code = Number(asked.get(name));
      return (row) => byName[name].values[row] === code;
    });
    if (asked.get('outlier')) tests.push((row) => byName.score.values[row] > data.limit);
    const words = asked.get('text').toLowerCase().split(/\s+/).filter(Boolean);
    if (words.length) tests.push(matches(words));
    shown = tests.length ? order.filter((row) => tests.every((test) => test(row))) : order;
    first = 0;
  };

  // Texts are numbers in their order; what is empty comes last, whichever way it is sorted.
  const sort = (column) => {
    down = sorted === column ? !down : !column.levels;
    sorted = column;
    const [values, sign] = [column.values, down ? -1 : 1];
    const last = (row) => values[row] === null;
    order = everything.slice().sort((one, other) =>
      last(one) - last(other) || sign * (values[one] - values[other]) || one - other);
  };

  const visible = () => {
    const step = filters.elements.step.value;
    return columns.filter((column) => !step || !column.step || column.step === step);
  };

  const heading = (column) => {
    const way = column === sorted ? (down ? 'descending' : 'ascending') : 'none';
    const cell = make('th', '', {scope: 'col', 'aria-sort': way, title: column.help || ''});
    const button = make('button', '', {type: 'button'});
    if (column.step) button.append(make('small', column.step));
    button.append(column.title + (column.units ? ` (${column.units})` : ''));
    button.addEventListener('click', () => { sort(column); choose(); draw(); });
    cell.append(button);
    return cell;
  };

  const cell = (column, row) => {
    const text = textOf(column, row);
    if (column.name === 'study') {
      const link = column.links[column.values[row]];
      const head = make('th', link ? '' : text, {scope: 'row'});
      if (link) head.append(make('a', text, {href: link}));
      return head;
    }
    if (column.name === 'state') {
      const state = make('td', '');
      state.append(make('span', text, {class: `state ${text}`}));
      return state;
    }
    if (column.levels) return make('td', text, {class: column.name, title: text});
    const score = column.name === 'score' ? column.values[row] : (column.far[row] || null);
    const far = score !== null && score > data.limit;
    const result = make('td', text, {class: far ? 'number far' : 'number'});
    if (far) result.title = `robust z-score ${score}`;
    return result;
  };

  const draw = () => {
    const use = visible();
    const head = make('tr', '');
    head.append(...use.map(heading));
    table.tHead.replaceChildren(head);
    table.tBodies[0].replaceChildren(...shown.slice(first, first + PAGE).map((row) => {
      const line = make('tr', '');
      line.append(...use.map((column) => cell(column, row)));
      return line;
    }));
    const end = Math.min(first + PAGE, shown.length);
    const count = (number) => number.toLocaleString('en');
    where.textContent = shown.length
      ? `${count(first + 1)} to ${count(end)} of ${count(shown.length)}` : 'nothing found';
    const [back, on] = pager.querySelectorAll('button');
    back.disabled = first === 0;
    on.disabled = end >= shown.length;
  };

  filters.addEventListener('input', () => { choose(); draw(); });
  filters.addEventListener('submit', (event) => event.preventDefault());
  pager.addEventListener('click', (event) => {
    const step = Number(event.target.dataset.step || 0);
    if (!step) return;
    first += step * PAGE;
    draw();
    table.parentElement.scrollTop = 0;
  });
  for (const link of document.querySelectorAll('[data-choose]')) {
    link.addEventListener('click', () => {
      filters.reset();
      const {choose: wanted} = link.dataset;
      filters.elements.outlier.checked = wanted === 'outlier';
      const code = byName.state.levels.indexOf(wanted);
      filters.elements.state.value = code < 0 ? '' : String(code);
      choose();
      draw();
    });
  }
  filters.reset(); // a browser that goes back fills in what was chosen before
  filters.hidden = pager.hidden = false;
  draw();
})();
