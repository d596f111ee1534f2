/** The page at `/login`. It works under a policy without inline scripts and styles. */
export const loginPage = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>Log in to Treadle</title>
<link rel="stylesheet" href="/login/login.css">
<script defer src="/login/login.js"></script>
</head>
<body>
<main>
<h1>Treadle</h1>
<form id="login" autocomplete="off">
<label for="key">API key</label>
<input id="key" name="key" type="password" required maxlength="512" spellcheck="false" autocapitalize="none" autofocus>
<p id="fault" role="alert" hidden></p>
<button type="submit">Log in</button>
</form>
<p id="hint">Keys are made with <code>treadle keys create</code>. The login lasts 12 hours, or until the key is revoked.</p>
<form id="logout" hidden><p>You are logged in as <strong id="who"></strong>.</p><button type="submit">Log out</button></form>
<p id="open" hidden>No key is needed: there are none yet, and only this machine can reach Treadle.</p>
<nav><a href="/search">Search</a> <a href="/board">Board</a> <a href="/docs">API</a></nav>
</main>
<noscript>Logging in needs JavaScript.</noscript>
</body>
</html>
`;

export const loginStyle = `:root { color-scheme: light dark; font-family: system-ui, sans-serif; }
body { display: grid; place-items: center; min-height: 100vh; margin: 0; background: Canvas; color: CanvasText; }
main { width: min(22rem, calc(100vw - 3rem)); }
h1 { font-size: 1.5rem; letter-spacing: 0.02em; }
form { display: grid; gap: 0.6rem; margin-bottom: 1rem; }
[hidden] { display: none; }
label { font-weight: 600; }
input, button { font: inherit; padding: 0.6rem 0.7rem; border-radius: 0.4rem; border: 1px solid color-mix(in srgb, CanvasText 35%, Canvas); }
input { background: Field; color: FieldText; }
button { background: #1d5fbf; border-color: #1d5fbf; color: #fff; cursor: pointer; }
button:disabled { opacity: 0.6; cursor: progress; }
#fault { margin: 0; color: light-dark(#b3261e, #ff8a80); }
#hint { font-size: 0.85rem; opacity: 0.8; }
nav { display: flex; gap: 1rem; font-size: 0.9rem; }
`;

export const loginScript = `'use strict';
const login = document.getElementById('login');
const logout = document.getElementById('logout');
const fault = document.getElementById('fault');
const next = () => {
  const wanted = new URL(new URLSearchParams(location.search).get('next') || '/board', location.origin);
  return wanted.origin === location.origin && !wanted.pathname.startsWith('/login') ? wanted.href : '/board';
};
const show = (text) => { fault.textContent = text; fault.hidden = false; };
login.addEventListener('submit', async (event) => {
  event.preventDefault();
  const button = login.querySelector('button');
  button.disabled = true;
  fault.hidden = true;
  try {
    const answer = await fetch('/login', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ key: document.getElementById('key').value.trim() }),
    });
    if (answer.ok) { location.replace(next()); return; }
    const body = await answer.json().catch(() => undefined);
    show(body?.error?.message ?? 'The login failed.');
  } catch {
    show('The server cannot be reached.');
  }
  button.disabled = false;
});
logout.addEventListener('submit', async (event) => {
  event.preventDefault();
  await fetch('/logout', { method: 'POST' });
  location.reload();
});
fetch('/login/who').then(async (answer) => {
  if (!answer.ok) return;
  const { name, keys } = await answer.json();
  document.getElementById('who').textContent = name;
  logout.hidden = !keys;
  document.getElementById('open').hidden = keys;
  login.hidden = true;
  document.getElementById('hint').hidden = true;
});
`;
