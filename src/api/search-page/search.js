'use strict';

const byId = (id) => document.getElementById(id);
const input = byId('query');
const list = byId('suggestions');
const pageSize = 20;
const longestSuggestion = 64;
const typingMs = 120;
const modes = ['hybrid', 'keyword', 'semantic'];
const sorts = ['relevance', 'newest', 'oldest', 'title'];

const monthName = (month) =>
  new Intl.DateTimeFormat(undefined, { month: 'long', year: 'numeric', timeZone: 'UTC' }).format(
    new Date(`${month}-01`),
  );
const asIs = (value) => value;
/** Names of authors that answers have told. */
const authors = new Map();
/** What can be filtered by: the name in the address, in a request, and in an answer's facets. */
const facets = [
  { name: 'tag', filter: 'tags', title: 'Tags', label: asIs },
  { name: 'author', filter: 'authors', title: 'Authors', label: (id) => authors.get(id) ?? id },
  { name: 'status', filter: 'status', title: 'Status', label: asIs },
  { name: 'month', filter: 'months', title: 'Made in', label: monthName },
];

const element = (name, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};

/** An escaped text with <mark> around what matched, as nodes: whatever else is in it comes out as text. */
const marked = (html) => {
  const { body } = new DOMParser().parseFromString(html, 'text/html');
  return Array.from(body.childNodes, (node) =>
    node.nodeName === 'MARK' ? element('mark', { textContent: node.textContent }) : (node.textContent ?? ''),
  );
};

// What is asked for stands in the address: links, reloads and the back button lead to the same.

const readAddress = () => {
  const given = new URLSearchParams(location.search);
  const oneOf = (name, known) => (known.includes(given.get(name)) ? given.get(name) : known[0]);
  return {
    ws: given.get('ws') ?? '',
    q: given.get('q') ?? '',
    mode: oneOf('mode', modes),
    sort: oneOf('sort', sorts),
    cursor: given.get('cursor') ?? undefined,
    chosen: Object.fromEntries(facets.map(({ name }) => [name, given.getAll(name)])),
  };
};

const addressOf = ({ ws, q, mode, sort, cursor, chosen }) => {
  const written = new URLSearchParams({ ws });
  if (q !== '') written.set('q', q);
  if (mode !== modes[0]) written.set('mode', mode);
  if (sort !== sorts[0]) written.set('sort', sort);
  for (const [name, values] of Object.entries(chosen)) for (const value of values) written.append(name, value);
  if (cursor !== undefined) written.set('cursor', cursor);
  return `/search?${written}`;
};

let state = readAddress();
const nothingChosen = () => Object.fromEntries(facets.map(({ name }) => [name, []]));
const anyChosen = () => Object.values(state.chosen).some((values) => values.length > 0);

/** Asks for something else; `page` says where a following page stands: { searchId, start }. */
const go = (changes, page = null) => {
  state = { ...state, cursor: undefined, ...changes };
  const address = addressOf(state);
  if (address === location.pathname + location.search) history.replaceState(page, '', address);
  else history.pushState(page, '', address);
  void run();
};

// Requests.

class Fault extends Error {
  constructor(message, status, faults = []) {
    super(message);
    this.status = status;
    this.faults = faults;
  }
}

const sentence = (text) => `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? '' : '.'}`;

const ask = async (url, { body, signal } = {}) => {
  const sent =
    body === undefined
      ? {}
      : { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
  const answer = await fetch(url, { ...sent, signal }).catch((error) => {
    if (error.name === 'AbortError') throw error;
    throw new Fault('The server cannot be reached.', 0);
  });
  if (answer.ok) return answer.json();
  if (answer.status === 401) location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);
  const { error = {} } = await answer.json().catch(() => ({}));
  const faults = error.details?.faults ?? [];
  const named = faults.map(({ path, message }) => sentence(`${path} ${message}`));
  const text = named.length > 0 ? named.join(' ') : sentence(error.message ?? `the server answered ${answer.status}`);
  throw new Fault(text, answer.status, faults);
};

const inWorkspace = (path) => `/v1/workspaces/${encodeURIComponent(state.ws)}/${path}`;

const say = (id, text) => {
  byId(id).textContent = text;
  byId(id).hidden = text === '';
};

// Searching.

let running;

const run = async () => {
  running?.abort();
  const mine = new AbortController();
  running = mine;
  closeSuggestions();
  showAsked();
  if (state.ws === '') return;
  byId('answer').setAttribute('aria-busy', 'true');
  const filters = Object.fromEntries(facets.map(({ name, filter }) => [filter, state.chosen[name]]));
  const { q: query, mode, sort, cursor } = state;
  try {
    const body = { query, mode, sort, filters, cursor, limit: pageSize };
    const answer = await ask(inWorkspace('search'), { body, signal: mine.signal });
    if (mine === running) show(answer);
  } catch (error) {
    if (mine !== running) return;
    if (cursor !== undefined && error.faults?.some(({ path }) => path === 'cursor')) {
      history.replaceState(null, '', addressOf({ ...state, cursor: undefined }));
      state = readAddress();
      await run();
      say('degraded', 'The page that was asked for is not there any more; this is the first.');
      return;
    }
    showFault(error);
  }
  if (mine === running) byId('answer').removeAttribute('aria-busy');
};

const showAsked = () => {
  input.value = state.q;
  document.title = state.q === '' ? 'Treadle search' : `${state.q} · Treadle search`;
  byId('sort').value = state.sort;
  document.querySelector(`[name=mode][value=${state.mode}]`).checked = true;
  showWorkspace();
};

const showFault = ({ message }) => {
  say('fault', message);
  say('degraded', '');
  say('summary', '');
  byId('empty').hidden = true;
  byId('pages').hidden = true;
  byId('hits').replaceChildren();
};

const counted = (total) => (total === 1 ? 'one document' : `${total.toLocaleString()} documents`);

const summaryOf = ({ total, tookMs, backend }) => {
  const found =
    state.q === '' || state.mode === 'keyword'
      ? sentence(counted(total)).slice(0, -1)
      : state.mode === 'semantic'
        ? `The closest of ${counted(total)}`
        : `The words are in ${counted(total)}; others are close in meaning`;
  return `${found} (${tookMs} ms, ${backend})`;
};

/** Where the next page begins. */
let following;

const show = (answer) => {
  const { hits, degraded, backend, nextCursor } = answer;
  const page = history.state ?? { searchId: answer.searchId, start: 0 };
  say('fault', '');
  say('summary', hits.length === 0 ? '' : summaryOf(answer));
  say(
    'degraded',
    degraded ? `This answer is degraded: ${backend} gave it, and a part of search is not available at the moment.` : '',
  );
  showFacets(answer.facets);
  byId('hits').replaceChildren(...hits.map((hit, index) => hitOf(hit, page.searchId, page.start + index + 1)));
  showEmpty(hits.length === 0);
  byId('first').hidden = state.cursor === undefined;
  byId('next').hidden = nextCursor === null;
  byId('pages').hidden = byId('first').hidden && byId('next').hidden;
  following = { cursor: nextCursor, page: { searchId: page.searchId, start: page.start + hits.length } };
};

const choice = (text, action) => {
  const button = element('button', { type: 'button', textContent: text });
  button.addEventListener('click', action);
  return button;
};

const showEmpty = (isEmpty) => {
  const empty = byId('empty');
  empty.hidden = !isEmpty;
  if (!isEmpty) return;
  const filtered = anyChosen();
  const what = state.q !== '' ? `Nothing was found for “${state.q}”` : filtered ? 'Nothing was found' : undefined;
  const text =
    what === undefined
      ? 'There are no documents in this workspace yet.'
      : `${what}${filtered ? ' with these filters' : ''}.`;
  empty.replaceChildren(element('p', { textContent: text }));
  if (filtered)
    empty.append(
      choice('Without the filters', () => go({ chosen: nothingChosen() })),
      ' ',
    );
  if (state.q !== '' && state.mode === 'keyword')
    empty.append(choice('Search by meaning, too', () => go({ mode: 'hybrid' })));
};

// Facets.

const toggle = (name, value, on) => {
  const others = state.chosen[name].filter((other) => other !== value);
  go({ chosen: { ...state.chosen, [name]: on ? [...others, value] : others } });
};

const facetOf = ({ name, title, label }, found) => {
  const counts = new Map(found.map(({ value, count }) => [value, count]));
  for (const value of state.chosen[name]) if (!counts.has(value)) counts.set(value, 0);
  const rows = Array.from(counts, ([value, count]) => {
    const box = element('input', { type: 'checkbox', checked: state.chosen[name].includes(value) });
    box.dataset.key = `${name} ${value}`;
    box.addEventListener('change', () => toggle(name, value, box.checked));
    return element(
      'label',
      {},
      box,
      element('span', { textContent: label(value) }),
      element('small', { textContent: count.toLocaleString() }),
    );
  });
  if (rows.length === 0) return [];
  const values = element('div', { className: 'values' }, ...rows);
  return [element('fieldset', {}, element('legend', { textContent: title }), values)];
};

const showFacets = ({ tags, authors: writers, status, timeline }) => {
  for (const { id, name } of writers) authors.set(id, name);
  const found = {
    tag: tags,
    author: writers.map(({ id, count }) => ({ value: id, count })),
    status,
    month: timeline.toReversed(),
  };
  const focused = document.activeElement?.dataset?.key;
  byId('facets').replaceChildren(...facets.flatMap((facet) => facetOf(facet, found[facet.name])));
  const chosen = Object.values(state.chosen).flat().length;
  byId('chosen').textContent = chosen === 0 ? '' : `(${chosen})`;
  // Whoever goes through them by keyboard stays where they were.
  if (focused !== undefined)
    document.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
};

// Hits.

/** Tells that a hit was opened; the page may be left before the answer comes. */
const report = (searchId, documentId, position) => {
  if (state.q === '') return;
  const body = JSON.stringify({ searchId, documentId, position });
  const headers = { 'content-type': 'application/json' };
  fetch(inWorkspace('search/clicks'), { method: 'POST', keepalive: true, headers, body }).catch(() => undefined);
};

const open = async (link, panel) => {
  panel.hidden = !panel.hidden;
  link.setAttribute('aria-expanded', String(!panel.hidden));
  if (panel.textContent !== '') return;
  try {
    const { content, excerpt } = await ask(link.href);
    panel.textContent = content || excerpt || 'The document has no text.';
  } catch ({ message }) {
    panel.textContent = message;
  }
};

const aboutOf = ({ author, status, updatedAt, tags }) => {
  const about = element('p', { className: 'about' });
  const date = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium' }).format(new Date(updatedAt));
  about.append(...[author?.name, status, date].filter(Boolean).map((textContent) => element('span', { textContent })));
  about.append(...tags.slice(0, 8).map((tag) => choice(tag, () => toggle('tag', tag, true))));
  return about;
};

const hitOf = (hit, searchId, position) => {
  const panel = element('pre', { hidden: true, tabIndex: 0 });
  const link = element('a', { href: inWorkspace(`knowledge/${hit.id}`), textContent: hit.title });
  link.setAttribute('aria-expanded', 'false');
  link.addEventListener('click', (event) => {
    report(searchId, hit.id, position);
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    void open(link, panel);
  });
  link.addEventListener('auxclick', ({ button }) => button === 1 && report(searchId, hit.id, position));
  const pieces = hit.highlights.length > 0 ? hit.highlights.map(marked) : [[hit.excerpt]];
  const texts = pieces.map((piece) => element('p', {}, ...piece));
  return element('li', {}, element('h2', {}, link), ...texts, aboutOf(hit), panel);
};

// Suggestions.

let suggested = [];
let active = -1;
let asked = 0;
let timer;

const closeSuggestions = () => {
  clearTimeout(timer);
  asked += 1;
  list.hidden = true;
  active = -1;
  input.setAttribute('aria-expanded', 'false');
  input.removeAttribute('aria-activedescendant');
};

const activate = (index) => {
  active = index;
  for (const [at, row] of [...list.children].entries()) row.setAttribute('aria-selected', String(at === index));
  if (index < 0) input.removeAttribute('aria-activedescendant');
  else input.setAttribute('aria-activedescendant', `suggestion-${index}`);
};

const choose = ({ kind, text }) =>
  kind === 'tag'
    ? go({ q: '', chosen: { ...nothingChosen(), tag: [text] } })
    : go({ q: Array.from(text).slice(0, 500).join('') });

const showSuggestions = ({ titles, tags }) => {
  suggested = [
    ...[...new Set(titles.map(({ title }) => title))].map((text) => ({ kind: 'title', text })),
    ...tags.map((text) => ({ kind: 'tag', text })),
  ];
  if (suggested.length === 0) return closeSuggestions();
  const rows = suggested.map((suggestion, index) => {
    const row = element('li', { id: `suggestion-${index}` }, element('span', { textContent: suggestion.text }));
    row.setAttribute('role', 'option');
    if (suggestion.kind === 'tag') row.append(element('small', { textContent: 'tag' }));
    // The input keeps the focus.
    row.addEventListener('pointerdown', (event) => event.preventDefault());
    row.addEventListener('click', () => choose(suggestion));
    return row;
  });
  list.replaceChildren(...rows);
  activate(-1);
  list.hidden = false;
  input.setAttribute('aria-expanded', 'true');
};

const suggest = async () => {
  const typed = Array.from(input.value.trim()).slice(0, longestSuggestion).join('');
  if (typed === '' || state.ws === '') return closeSuggestions();
  asked += 1;
  const mine = asked;
  try {
    const answer = await ask(inWorkspace(`suggest?q=${encodeURIComponent(typed)}`));
    // An answer that comes after that to a later question is nobody's.
    if (mine === asked && document.activeElement === input) showSuggestions(answer);
  } catch {
    if (mine === asked) closeSuggestions();
  }
};

input.addEventListener('input', () => {
  clearTimeout(timer);
  timer = setTimeout(suggest, typingMs);
});
input.addEventListener('blur', closeSuggestions);
input.addEventListener('keydown', (event) => {
  if (event.isComposing) return;
  if (event.key === 'Escape' && !list.hidden) closeSuggestions();
  else if (event.key === 'Enter' && active >= 0) choose(suggested[active]);
  else if (event.key === 'ArrowDown' && list.hidden) void suggest();
  else if (event.key === 'ArrowDown') activate(active + 1 < suggested.length ? active + 1 : -1);
  else if (event.key === 'ArrowUp' && !list.hidden) activate(active < 0 ? suggested.length - 1 : active - 1);
  else return;
  event.preventDefault();
});

// Options.

byId('search').addEventListener('submit', (event) => {
  event.preventDefault();
  go({ q: input.value.trim() });
});
byId('mode').addEventListener('change', ({ target }) => go({ mode: target.value, q: input.value.trim() }));
byId('sort').addEventListener('change', ({ target }) => go({ sort: target.value }));
byId('first').addEventListener('click', () => go({}));
byId('next').addEventListener('click', () => {
  go({ cursor: following.cursor }, following.page);
  scrollTo(0, 0);
});
addEventListener('popstate', () => {
  state = readAddress();
  void run();
});

const lastWorkspace = {
  read: () => {
    try {
      return localStorage.getItem('treadle.workspace') ?? '';
    } catch {
      return '';
    }
  },
  write: (name) => {
    try {
      localStorage.setItem('treadle.workspace', name);
    } catch {
      // Storage may be closed to pages; the next visit begins with the first workspace then.
    }
  },
};

const enter = ({ target }) => {
  const ws = target.value.trim();
  lastWorkspace.write(ws);
  go({ ws, chosen: nothingChosen() });
};
byId('workspace').addEventListener('change', enter);
byId('workspace-name').addEventListener('change', enter);

const showWorkspace = () => {
  const select = byId('workspace');
  if (state.ws !== '' && ![...select.options].some(({ value }) => value === state.ws))
    select.append(new Option(state.ws));
  select.value = state.ws;
  byId('workspace-name').value = state.ws;
};

const listWorkspaces = async () => {
  const found = [];
  for (let cursor = null, page = 0; page < 10; page += 1) {
    const more = cursor === null ? '' : `&cursor=${encodeURIComponent(cursor)}`;
    const { items, nextCursor } = await ask(`/v1/workspaces?limit=100${more}`);
    found.push(...items);
    cursor = nextCursor;
    if (cursor === null) break;
  }
  return found;
};

const start = async () => {
  try {
    const { keys, workspace } = await ask('/login/who');
    byId('login').hidden = !keys;
    // A key may search without being allowed to list workspaces.
    const known = await listWorkspaces().catch((error) => {
      if (error.status !== 403) throw error;
      return workspace === null ? null : [workspace];
    });
    byId('workspace').hidden = known === null;
    byId('workspace-name').hidden = known !== null;
    byId('workspace').append(...(known ?? []).map(({ name, displayName }) => new Option(displayName || name, name)));
    const names = (known ?? []).map(({ name }) => name);
    const own = names.filter((name) => name !== 'system');
    const last = lastWorkspace.read();
    if (state.ws === '') state.ws = names.includes(last) ? last : (own[0] ?? names[0] ?? '');
    if (known?.length === 0) throw new Fault('There is no workspace yet.', 0);
    if (state.ws === '') byId('workspace-name').focus();
    else history.replaceState(history.state, '', addressOf(state));
  } catch (error) {
    return showFault(error);
  }
  await run();
};

if (matchMedia('(max-width: 45rem)').matches) byId('filters').open = false;
void start();
