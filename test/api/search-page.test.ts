import type { Page } from 'playwright-core';
import { beforeAll, expect, test } from 'vitest';
import { SearchWorld } from '../domain/search/search-world.ts';
import { describeWithBrowser } from '../services/browser.ts';
import { useApi } from './use-api.ts';

// The embedder is away: a search by both is answered by words alone, and says so.
const api = useApi({ env: { OPENAI_API_KEY: 'none', OPENAI_BASE_URL: 'http://127.0.0.1:9/v1' } });

const hostile = '<img src=x onerror="window.hacked=true"> Loom & "quotes"';

describeWithBrowser('the search page', (browser) => {
  let origin = '';
  let library = '';
  const complaints: string[] = [];

  beforeAll(async () => {
    const world = new SearchWorld(api.database);
    library = await world.workspace('library');
    await world.workspace('attic');
    const ada = await world.author(library, 'Ada');
    for (let n = 1; n <= 25; n += 1) {
      await world.write(library, {
        title: `Loom ${String(n).padStart(2, '0')}`,
        content: `A loom holds the warp. This one has ${n} treadles.`,
        tags: n % 5 === 0 ? ['weaving', 'large'] : ['weaving'],
        status: n % 2 === 0 ? 'published' : 'draft',
        createdAt: n <= 10 ? '2026-01-15T00:00:00Z' : '2026-02-15T00:00:00Z',
        ...(n <= 3 ? { authorId: ada } : {}),
      });
    }
    await world.write(library, { title: 'Spindles', content: 'A spindle twists fibres.', tags: ['spinning'] });
    await world.write(library, {
      title: hostile,
      content: `<script>window.hacked = true</script> crooked <b onclick="window.hacked=true">bold</b>`,
      tags: ['<i>tag</i>'],
    });
    origin = await api.server.listen();
  });

  /** A page of its own, closed when `use` is done; whatever its console complains about is remembered. */
  const visit = async (address: string, use: (page: Page) => Promise<void>): Promise<void> => {
    const page = await browser.context.newPage();
    page.on('pageerror', (error) => complaints.push(error.message));
    page.on('console', (message) => {
      // The browser tells of every answer that is an error; those are asked for here.
      const isAnswer = message.text().startsWith('Failed to load resource: the server responded');
      if (message.type() === 'error' && !isAnswer) complaints.push(message.text());
    });
    try {
      await page.goto(`${origin}${address}`);
      await use(page);
      expect(await page.evaluate('window.hacked')).toBeUndefined();
    } finally {
      await page.close();
    }
  };
  const titles = (page: Page): Promise<readonly string[]> => page.locator('#hits h2').allTextContents();
  const box = (page: Page) => page.getByRole('combobox', { name: 'Search' });
  const summary = (page: Page, text: string) => page.locator('#summary').filter({ hasText: text }).waitFor();

  const params = (page: Page): Record<string, string> => Object.fromEntries(new URL(page.url()).searchParams);

  test('lists a workspace, finds what is typed, keeps what is asked for in the address, and goes back', () =>
    visit('/', async (page) => {
      await page.getByRole('link', { name: 'Search' }).click();
      await page.getByText('There are no documents in this workspace yet.').waitFor();
      await page.getByLabel('Workspace').selectOption('library');
      await summary(page, '27 documents');
      await box(page).fill('spindle');
      await page.getByText('words', { exact: true }).click();
      await summary(page, 'One document');
      expect(await titles(page)).toEqual(['Spindles']);
      expect(await page.locator('mark').allTextContents()).toEqual(['spindle']);
      expect(params(page)).toEqual({ ws: 'library', q: 'spindle', mode: 'keyword' });
      expect(await page.title()).toContain('spindle');

      await box(page).fill('unicorn');
      await page.keyboard.press('Enter');
      await page.getByText('Nothing was found for “unicorn”.').waitFor();
      await page.goBack();
      await summary(page, 'One document');
      expect(await box(page).inputValue()).toBe('spindle');
      await page.goBack();
      await summary(page, '27 documents');
      await page.goForward();
      await page.reload();
      await summary(page, 'One document');
      expect(await page.getByLabel('words').isChecked()).toBe(true);
    }));

  test('says in words what goes wrong, and when an answer is less than was asked for', () =>
    visit('/search?ws=library&q=spindle', async (page) => {
      await page.getByText('This answer is degraded: postgres gave it').waitFor();
      await page.getByText('meaning', { exact: true }).click();
      await page.getByRole('alert').filter({ hasText: 'Searching by meaning is not possible' }).waitFor();
      expect(await titles(page)).toEqual([]);
      await page.getByText('words', { exact: true }).click();
      await summary(page, 'One document');
      expect(await page.locator('#degraded').isVisible()).toBe(false);
      expect(await page.getByRole('alert').isVisible()).toBe(false);
      await page.goto(`${origin}/search?ws=nowhere`);
      await page.getByRole('alert').filter({ hasText: 'Workspace "nowhere" does not exist.' }).waitFor();
      await page.goto(`${origin}/search?ws=library&status=lost`);
      await page.getByRole('alert').filter({ hasText: 'Filters.status[0]' }).waitFor();
    }));

  test('suggests while one types, by keyboard too, and never for what was typed before', () =>
    visit('/search?ws=library&mode=keyword', async (page) => {
      await summary(page, '27 documents');
      const options = page.locator('#suggestions').getByRole('option');
      // The answer for the first letters is late.
      let release = (): void => undefined;
      const late = new Promise<void>((resolve) => {
        release = resolve;
      });
      await page.route('**/suggest?q=lo', async (route) => {
        await late;
        await route.continue();
      });
      const first = page.waitForRequest('**/suggest?q=lo');
      await box(page).pressSequentially('lo');
      await first;
      const last = page.waitForResponse('**/suggest?q=lo');
      await box(page).fill('spi');
      await options.filter({ hasText: 'Spindles' }).waitFor();
      release();
      await last;
      expect(await options.allTextContents()).toEqual(['Spindles', 'spinningtag']);

      expect(await box(page).getAttribute('aria-expanded')).toBe('true');
      await page.keyboard.press('Escape');
      expect(await box(page).getAttribute('aria-expanded')).toBe('false');
      expect(await box(page).inputValue()).toBe('spi');
      await page.keyboard.press('ArrowDown');
      await options.first().waitFor();
      await page.keyboard.press('ArrowUp');
      await page.keyboard.press('ArrowUp');
      const active = await box(page).getAttribute('aria-activedescendant');
      expect(await page.locator(`#${active}`).textContent()).toBe('Spindles');
      expect(await page.locator(`#${active}`).getAttribute('aria-selected')).toBe('true');
      await page.keyboard.press('Enter');
      await summary(page, 'One document');
      expect(params(page)).toMatchObject({ q: 'Spindles' });
      expect(await options.count()).toBe(0);

      await box(page).fill('larg');
      await options.filter({ hasText: 'large' }).click();
      await summary(page, '5 documents');
      expect(params(page)).toEqual({ ws: 'library', mode: 'keyword', tag: 'large' });
    }));

  test('narrows by facets, in any number, and sorts', () =>
    visit('/search?ws=library&q=loom&mode=keyword&sort=title', async (page) => {
      await summary(page, '26 documents');
      const row = (name: string) => page.locator('.values label').filter({ hasText: name });
      expect(await row('weaving').locator('small').textContent()).toBe('25');
      await row('large').click();
      await summary(page, '5 documents');
      expect(await titles(page)).toEqual(['Loom 05', 'Loom 10', 'Loom 15', 'Loom 20', 'Loom 25']);
      // By keyboard one stays where one was.
      await row('published').locator('input').press('Space');
      await summary(page, '2 documents');
      expect(await page.evaluate('document.activeElement.dataset.key')).toBe('status published');
      await row('January 2026').click();
      await summary(page, 'One document');
      expect(await titles(page)).toEqual(['Loom 10']);
      await row('published').click();
      await summary(page, '2 documents');
      expect(params(page)).toMatchObject({ tag: 'large', month: '2026-01' });
      await row('January 2026').click();
      await row('large').click();
      await row('Ada').click();
      await summary(page, '3 documents');
      await page.goBack();
      await summary(page, '26 documents');
    }));

  test('leads through pages, and tells which hit was opened', () =>
    visit('/search?ws=library&q=warp&mode=keyword&sort=title', async (page) => {
      await summary(page, '25 documents');
      expect(await titles(page)).toHaveLength(20);
      await page.getByRole('button', { name: 'Next page' }).click();
      await page.getByRole('link', { name: 'Loom 25' }).waitFor();
      expect(await page.getByRole('button', { name: 'Next page' }).isVisible()).toBe(false);
      const told = page.waitForResponse('**/search/clicks');
      await page.getByRole('link', { name: 'Loom 25' }).click();
      await page.getByText('This one has 25 treadles.', { exact: false }).last().waitFor();
      expect((await told).status()).toBe(204);
      const { popularQueries, clicks } = await api.platform.searchAnalytics.getSearchTrends({
        id: library,
        timeZone: 'UTC',
      });
      expect(popularQueries).toContainEqual({ query: 'warp', searches: 1 });
      expect(clicks).toBe(1);
      const [search] = await api.database.query("SELECT clicked_results FROM treadle.searches WHERE query = 'warp'");
      expect(search).toMatchObject({ clicked_results: [{ position: 25 }] });

      await page.goBack();
      await page.getByRole('link', { name: 'Loom 01' }).waitFor();
      await page.goForward();
      await page.getByRole('button', { name: 'First page' }).click();
      await page.getByRole('link', { name: 'Loom 01' }).waitFor();
      await page.goto(`${page.url()}&cursor=${Buffer.from('nonsense').toString('base64url')}`);
      await page.getByText('The page that was asked for is not there any more; this is the first.').waitFor();
      expect(await titles(page)).toHaveLength(20);
    }));

  test('shows hostile titles, texts, tags and queries as text', () =>
    visit(`/search?ws=library&mode=keyword&q=${encodeURIComponent(hostile)}`, async (page) => {
      await summary(page, 'One document');
      expect(await titles(page)).toEqual([hostile]);
      expect(await box(page).inputValue()).toBe(hostile);
      await box(page).fill('crooked');
      await page.keyboard.press('Enter');
      await page.locator('mark').filter({ hasText: 'crooked' }).waitFor();
      expect(await page.locator('#hits p').first().textContent()).toContain('<script>window.hacked = true</script>');
      await page.getByRole('link', { name: hostile }).click();
      await page.locator('pre').filter({ hasText: '<b onclick=' }).waitFor();
      await box(page).fill('<img src=x onerror=window.hacked=true>');
      await page.locator('#suggestions').getByRole('option').filter({ hasText: hostile }).waitFor();
      await page.keyboard.press('Enter');
      await summary(page, 'One document');
      await box(page).fill('<img src=x onerror=window.hacked=true> unicorn');
      await page.keyboard.press('Enter');
      await page.getByText('Nothing was found for “<img src=x onerror=window.hacked=true> unicorn”.').waitFor();
      expect(await page.locator('main img, main script, main i, main b').count()).toBe(0);
    }));

  // Last: from the first key on everybody needs one.
  test('asks for a key where there are keys, and leads back; a key of a workspace searches that one', async () => {
    const bound = await api.key(['search:read'], { workspaceId: library });
    const blind = await api.key(['workspaces:read']);
    await visit('/search?ws=library&q=spindle&mode=keyword', async (page) => {
      expect(new URL(page.url()).pathname).toBe('/login');
      await page.getByLabel('API key').fill(bound);
      await page.getByRole('button', { name: 'Log in' }).click();
      await summary(page, 'One document');
      expect(await page.locator('#workspace option').allTextContents()).toEqual(['library']);
      await page.getByRole('link', { name: 'Spindles' }).click();
      await page.getByText('The key lacks the scope knowledge:read').waitFor();
      await page.getByRole('link', { name: 'Log out' }).click();
      await page.getByRole('button', { name: 'Log out' }).click();
      await page.getByLabel('API key').fill(blind);
      await page.getByRole('button', { name: 'Log in' }).click();
      await page.waitForURL('**/board**');
      await page.goto(`${origin}/search?ws=library`);
      await page.getByRole('alert').filter({ hasText: 'The key lacks the scope search:read.' }).waitFor();
      // A login that ends while the page is open.
      await browser.context.clearCookies();
      await box(page).fill('loom');
      await page.keyboard.press('Enter');
      await page.getByLabel('API key').waitFor();
      expect(new URL(page.url()).searchParams.get('next')).toContain('q=loom');
    });
  });

  test('asks for nothing that the policy forbids, and keeps the console quiet', () => {
    expect(complaints).toEqual([]);
  });
});
