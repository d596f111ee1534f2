import { openAccess } from '../access/route-access.ts';
import type { Api } from '../api.ts';

const page = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>Treadle</title>
<link rel="stylesheet" href="/login/login.css">
</head>
<body>
<main>
<h1>Treadle</h1>
<p>Background jobs and workers.</p>
<ul>
<li><a href="/search">Search</a>: documents, by words and by meaning</li>
<li><a href="/board">Board</a>: queues and jobs, and what to do about them</li>
<li><a href="/docs">API</a>: every route, with what it takes and answers</li>
<li><a href="/health/live">Health</a>: whether the loops of this process turn</li>
<li><a href="/metrics">Metrics</a>: for Prometheus</li>
</ul>
</main>
</body>
</html>
`;

/** The page at `/`: where everything is. */
export const addHome = (app: Api): void => {
  app.get('/', { config: openAccess, schema: { hide: true } }, (_request, reply) =>
    reply.type('text/html; charset=utf-8').header('cache-control', 'no-cache').send(page),
  );
};
