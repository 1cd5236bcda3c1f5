// Asks status.json every two seconds and writes what has changed into the page. Nothing is stored, nothing is sent.

const EVERY = 2000;
const PATIENCE = 5000;
const byId = (id) => document.getElementById(id);
let lastHeard = null;

// Numbers: three figures are enough.
function short(value) {
  if (value == null) return '–';
  for (const [unit, size] of [['M', 1e6], ['k', 1e3]]) {
    if (value >= size * 0.99995) return trimmed(value / size) + unit;
  }
  return trimmed(value);
}
const trimmed = (value) => (value >= 99.95 || value === 0 ? value.toFixed(0) : value >= 9.995 ? value.toFixed(1) : value.toFixed(2));
const count = (value) => (value == null || value >= 999.5 ? short(value) : value.toFixed(0));
const percent = (part) => (part == null ? '–' : (part * 100).toFixed(part >= 0.0995 ? 0 : 1) + ' %');
const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString();
function lasting(seconds) {
  if (seconds == null) return '–';
  if (seconds < 120) return seconds.toFixed(0) + ' s';
  if (seconds < 7200) return (seconds / 60).toFixed(0) + ' min';
  return seconds < 172800 ? (seconds / 3600).toFixed(0) + ' h' : (seconds / 86400).toFixed(0) + ' d';
}

// Writes only what differs: what is selected stays so, and a reader is not told the same again.
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
function made(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text != null) element.textContent = text;
  return element;
}
function figure(id, value, unit) {
  const element = byId(id);
  if (element.dataset.shown === value + unit) return;
  element.dataset.shown = value + unit;
  element.replaceChildren(value, made('small', '', unit));
}

// A child of `parent` for each item, made once and changed in place.
function children(parent, items, make, change) {
  while (parent.children.length > items.length) parent.lastElementChild.remove();
  while (parent.children.length < items.length) parent.append(make());
  items.forEach((item, at) => change(parent.children[at], item, at));
}

// columns: [head, is it a number]; rows: cells, each a text or {text, kind, small}.
function table(element, columns, rows, none) {
  if (!element.tHead) {
    const row = element.createTHead().insertRow();
    for (const [head, number] of columns) {
      const cell = made('th', number ? 'number' : '', head);
      cell.scope = 'col';
      row.append(cell);
    }
    element.createTBody();
  }
  const body = element.tBodies[0];
  const shown = rows.length ? rows : [[{ text: none, kind: 'empty', span: columns.length }]];
  children(body, shown, () => made('tr'), (row, cells) => {
    children(row, cells, () => made('td'), (cell, content, at) => {
      const { text, kind, small, span } = typeof content === 'string' ? { text: content } : content;
      cell.colSpan = span || 1;
      const name = [columns[at][1] && !span ? 'number' : '', kind || ''].join(' ').trim();
      if (cell.className !== name) cell.className = name;
      cell.dataset.head = columns[at][0];
      const whole = text + (small ? '\n' + small : '');
      if (cell.dataset.shown === whole) return;
      cell.dataset.shown = whole;
      cell.replaceChildren(text, ...(small ? [made('div', 'small', small)] : []));
    });
  });
}

function ranking(id, items, none) {
  const greatest = Math.max(...items.map((item) => item.share), 0.0001);
  const list = items.length ? items : [{ name: none, share: null }];
  const make = () => {
    const item = made('li');
    item.append(made('span', 'name'), made('span', 'share'), made('span', 'bar'));
    return item;
  };
  children(byId(id), list, make, (item, { name, share }) => {
    write(item.children[0], name);
    item.children[0].className = share == null ? 'name empty' : 'name';
    write(item.children[1], share == null ? '' : percent(share));
    item.children[2].style.width = share == null ? '0' : (100 * share) / greatest + '%';
  });
}

// A line of at most 150 values; null leaves a gap at the bottom.
function line(id, values, ceiling) {
  const svg = byId(id);
  if (!svg.firstChild) {
    for (const name of ['area', 'stroke']) {
      const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
      path.setAttribute('class', name);
      svg.append(path);
    }
  }
  const most = ceiling || Math.max(...values.map((value) => value || 0), 1e-9);
  const offset = 150 - values.length;
  const points = values.map((value, at) => `${offset + at} ${(38 - (36 * (value || 0)) / most).toFixed(1)}`);
  const path = points.length ? 'M' + points.join('L') : '';
  svg.children[0].setAttribute('d', path && `${path}L149 40L${offset} 40Z`);
  svg.children[1].setAttribute('d', path);
}

const FAILURES = ['SERVFAIL', 'FORMERR', 'NOTIMP'];
const failures = (rcodes) => FAILURES.reduce((sum, code) => sum + (rcodes[code] || 0), 0);
function parts(rates) {
  const sum = Object.values(rates).reduce((all, rate) => all + rate, 0);
  const known = Object.entries(rates).filter(([, rate]) => rate > 0).sort((one, other) => other[1] - one[1]);
  return sum > 0 ? known.map(([name, rate]) => `${name.toUpperCase()} ${percent(rate / sum)}`).join(' · ') : '–';
}

const WORDS = { healthy: 'Healthy', starting: 'Starting', degraded: 'Degraded' };

function show(status) {
  const { traffic, past } = status;
  document.title = `${status.state === 'healthy' ? '' : WORDS[status.state] + ' – '}dunlin ${status.host}`;
  write(byId('host'), status.host);
  write(byId('about'), `version ${status.version}${status.started ? `, up for ${lasting(status.now - status.started)}` : ''}`);
  byId('condition').dataset.state = status.state;
  write(byId('state'), WORDS[status.state] || status.state);
  write(byId('age'), `as of ${clock(status.now)}`);
  children(byId('reasons'), status.reasons, () => made('li'), write);

  const hits = past.cache_hits;
  figure('queries', short(traffic.queries), '/s');
  write(byId('note-queries'), `${parts(traffic.transports)}; at most ${short(Math.max(...past.queries, 0))}/s in 5 min`);
  line('line-queries', past.queries);
  const slow = traffic.mean_us >= 1000;
  figure('mean', traffic.mean_us == null ? '–' : trimmed(slow ? traffic.mean_us / 1000 : traffic.mean_us), slow ? 'ms' : 'µs');
  write(byId('note-mean'), traffic.p99_at_most_ms == null ? 'no queries' : `99 % within ${traffic.p99_at_most_ms} ms`);
  line('line-mean', past.mean_us);
  figure('failures', short(failures(traffic.rcodes)), '/s');
  write(byId('note-failures'), parts(traffic.rcodes));
  line('line-failures', past.failures, Math.max(...past.failures, 1));
  byId('line-failures').classList.toggle('bad', past.failures.some((value) => value > 0));
  byId('failures').classList.toggle('trouble', failures(traffic.rcodes) > 0);
  figure('hits', traffic.cache_hits == null ? '–' : (traffic.cache_hits * 100).toFixed(0), '%');
  write(byId('note-hits'), `of ${short(status.caches.reduce((sum, cache) => sum + cache.lookups, 0))} lookups a second`);
  line('line-hits', hits, 1);

  table(byId('blocks'), [['zone', false], ['queries/s', true], ['mean', true], ['99 % within', true], ['answers', false], ['transport', false], ['since start', true]],
    status.blocks.map((block) => [
      { text: block.zone, small: block.server }, short(block.queries), block.mean_us == null ? '–' : short(block.mean_us) + ' µs',
      block.p99_at_most_ms == null ? '–' : block.p99_at_most_ms + ' ms',
      { text: parts(block.rcodes), kind: failures(block.rcodes) > 0.05 * block.queries && failures(block.rcodes) > 0 ? 'trouble' : '' },
      parts(block.transports), count(block.total),
    ]), 'No query has come yet.');
  table(byId('watches'), [['kind', false], ['last event', true], ['events', true], ['failed', true]],
    status.watches.map((watch) => [
      watch.kind, watch.age_seconds == null ? 'none yet' : lasting(watch.age_seconds) + ' ago', count(watch.events),
      { text: count(watch.failures), kind: watch.failures ? 'warn' : '' },
    ]), 'No API server is watched.');
  const changes = status.changes;
  write(byId('note-watches'), changes.count
    ? `From change to answer: half within ${changes.p50_at_most_seconds ?? '?'} s, 99 % within ${changes.p99_at_most_seconds ?? '?'} s (${count(changes.count)} changes)` : '');
  table(byId('upstreams'), [['upstream', false], ['queries/s', true], ['mean', true]],
    status.upstreams.map((upstream) => [
      { text: upstream.name, kind: upstream.up ? '' : 'trouble', small: upstream.up ? 'up' : 'down: fails its health checks' }, short(upstream.queries),
      upstream.mean_ms == null ? '–' : trimmed(upstream.mean_ms) + ' ms',
    ]), 'Nothing is forwarded.');
  table(byId('caches'), [['zone', false], ['hits', true], ['entries', true]],
    status.caches.map((cache) => [{ text: cache.zones, small: cache.server }, percent(cache.hits), count(cache.entries)]), 'Nothing is cached.');
  sections(status.sections);
  ranking('names', status.top.names, 'No query has come yet.');
  ranking('namespaces', status.top.namespaces, 'No namespace is known.');
  write(byId('note-namespaces'), status.top.namespaces_from === 'pods' ? 'Namespaces of the pods that ask; below, by address.'
    : 'Namespaces by what is asked in vain along their search lists; below, all clients by address.');
  ranking('clients', status.top.clients, 'No query has come yet.');
  ranking('waste', status.top.search_waste, 'None seen.');
  write(byId('sampled'), `Names and clients are sampled, in ${Math.round(status.top.memory_octets / 1024)} KiB; shares are of all queries, the last minutes weigh most.`);
  table(byId('history'), [['when', false], ['what', false], ['outcome', false]],
    status.history.map((occasion) => [
      new Date(occasion.at * 1000).toLocaleString(), occasion.what,
      occasion.ok ? { text: 'done', kind: 'good' } : { text: 'failed', kind: 'trouble', small: occasion.why },
    ]), '–');
}

function sections(all) {
  const make = () => {
    const section = made('section', 'card');
    const scroll = made('div', 'scroll');
    scroll.tabIndex = 0;
    scroll.setAttribute('role', 'region');
    scroll.append(made('table'));
    section.append(made('h2'), scroll);
    return section;
  };
  children(byId('sections'), all, make, (section, { title, columns, rows }) => {
    write(section.children[0], title);
    section.children[1].setAttribute('aria-label', title);
    const known = section.dataset.columns;
    if (known !== columns.join()) section.children[1].replaceChildren(made('table'));
    section.dataset.columns = columns.join();
    const numbers = columns.map((_, at) => rows.length > 0 && rows.every((row) => /^[\d.,]+( \S+)?$/.test(row[at])));
    table(section.querySelector('table'), columns.map((head, at) => [head, numbers[at]]), rows, 'Nothing yet.');
  });
}

async function fetched(path) {
  const response = await fetch(path, { cache: 'no-store', signal: AbortSignal.timeout(path.startsWith('status') ? PATIENCE : 2 * PATIENCE) });
  return { ok: response.ok, value: await response.json() };
}

async function update() {
  if (document.hidden) return;
  try {
    const { value } = await fetched('status.json');
    document.body.classList.remove('lost');
    lastHeard = value.now;
    show(value);
  } catch {
    document.body.classList.add('lost');
    byId('condition').dataset.state = 'lost';
    document.title = 'Unreachable – dunlin';
    write(byId('state'), 'This page cannot reach the server');
    write(byId('age'), lastHeard ? `values as of ${clock(lastHeard)}` : 'nothing has been heard yet');
    children(byId('reasons'), ['It has ended, or the port-forward has. Asking again every two seconds.'], () => made('li'), write);
  }
}

function definitions(pairs) {
  const list = made('dl');
  for (const [term, text] of pairs.filter(([, text]) => text)) list.append(made('dt', '', term), made('dd', '', text));
  return list;
}

const tone = (rcode) => (rcode === 'NOERROR' ? 'good' : rcode === 'NXDOMAIN' ? 'warn' : 'trouble');

function explained(question, answer) {
  const part = made('div');
  const verdict = made('p', 'verdict');
  const what = answer.rcode == null ? 'no answer: the query is dropped'
    : answer.rcode + (answer.answer?.length ? `, ${answer.answer.length} record${answer.answer.length > 1 ? 's' : ''}` : ', no records');
  verdict.append(made('b', tone(answer.rcode), what), ` by ${answer.answered_by}`);
  part.append(verdict, definitions([
    ['question', `${question.name} ${question.type}, asked by ${question.client}`],
    ['block', answer.zone ? `${answer.zone} at ${answer.at}` : 'none stands for this name'],
    ['view', answer.view],
    ['object', answer.object],
    ['lane', answer.lane === 'fast' ? 'fast (from memory)' : `slow, through ${answer.asked.join(', ')}`],
    ['reason', answer.reason],
    ['listens on', answer.listens.join(', ')],
  ]));
  const records = [...(answer.answer || []), ...(answer.answer?.length ? [] : answer.authority || [])];
  if (records.length) part.append(made('pre', '', records.join('\n')));
  return part;
}

async function ask(event) {
  event.preventDefault();
  const place = byId('answer');
  const query = new URLSearchParams(new FormData(byId('question')));
  try {
    const { ok, value } = await fetched(`explain.json?${query}`);
    place.replaceChildren(...(ok ? value.answers.map((answer) => explained(value, answer)) : [made('p', 'error', value.error)]));
  } catch {
    place.replaceChildren(made('p', 'error', 'No answer: the server cannot be reached.'));
  }
}

byId('question').addEventListener('submit', ask);
document.addEventListener('visibilitychange', update);
update();
setInterval(update, EVERY);
