import type { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { createProgram } from '../../src/cli/program.ts';
import { runTreadle } from './run-treadle.ts';
import { useCommandLine } from './use-command-line.ts';

const never = () => () => Promise.reject(new Error('help runs nothing'));
const commandLine = useCommandLine();
const program = createProgram(never, never, false);

/** Every command with something to run, by its words. */
const leaves = (command: Command, words: readonly string[] = []): (readonly [string, Command])[] =>
  command.commands.length === 0
    ? [[words.join(' '), command]]
    : command.commands.flatMap((each) => leaves(each, [...words, each.name()]));

describe('help', () => {
  it('is printed without a command, and names every one', async () => {
    const { exitCode, stdout, stderr } = await runTreadle([]);
    expect([exitCode, stderr]).toEqual([0, '']);
    const names = stdout.match(/(?<=^ {2})[a-z][a-z-]+(?= )/gm);
    expect(names?.join(' ')).toBe(
      'dev start check migrate seed keys import search rebuild verify nodes enqueue jobs dead-letters schedules sagas queues health help',
    );
  });

  it.each(leaves(program))('of %s says what it does, and explains every argument and option', (words, command) => {
    expect(command.helpInformation()).toContain(`Usage: treadle ${words}`);
    for (const each of [command, ...command.registeredArguments, ...command.options]) {
      const description = typeof each.description === 'function' ? command.description() : each.description;
      expect(description).toMatch(/^\S.{3,}/);
    }
  });

  it('needs neither a valid configuration nor a server', async () => {
    const help = await runTreadle(['import', '--help'], { env: { DATABASE_URL: 'nonsense' } });
    expect(help).toMatchObject({ exitCode: 0, stderr: '' });
    expect(help.stdout).toMatch(/^Usage: treadle import [\s\S]*--json[\s\S]*A file with a fault is refused as a whole/);
  });
});

describe('a group of commands', () => {
  it.each(['jobs', 'dead-letters', 'schedules', 'sagas', 'queues', 'keys', 'migrate'])(
    '%s lists them',
    async (group) => {
      const { exitCode, stdout, stderr } = await commandLine([group]);
      expect([exitCode, stderr]).toEqual([0, '']);
      expect(stdout).toMatch(new RegExp(`^Usage: treadle ${group}[\\s\\S]*Commands:`));
    },
  );
});

describe('wrong arguments', () => {
  it('are followed by what to type', async () => {
    const { stderr } = await commandLine(['jobs', 'show']);
    expect(stderr).toContain('\nType: treadle jobs show [options] <id>\n');
  });

  it.each([
    [['jbos'], /unknown command 'jbos'/],
    [['jobs', 'lst'], /unknown command 'lst'[\s\S]*list/],
    [['jobs', 'list', '--colour'], /unknown option '--colour'/],
    [['jobs', 'list', '--limit', '0'], /whole number from 1 to 100/],
    [['jobs', 'list', '--state', 'gone'], /Allowed choices are accepted, waiting/],
    [['jobs', 'show', '17'], /'17' is invalid for argument 'id'/],
    [['jobs', 'show'], /missing required argument 'id'/],
    [['import', '.'], /required option '--workspace <name>'/],
    [['import', 'a', 'b', '--workspace', 'x'], /too many arguments/],
    [['enqueue', 'some.job', '{"a":'], /valid JSON/],
    [['enqueue', 'some.job', '[1]'], /JSON object/],
    [['enqueue', 'some.job', '{}', '--run-at', 'tomorrow'], /a time such as/],
    [['enqueue', 'some.job', '{}', '--priority', '12'], /from 1 to 9/],
    [['dead-letters', 'redrive'], /say which dead letters, or --all/],
    [['dead-letters', 'list', '--payload', 'order'], /Must be a path and a value/],
    [['dead-letters', 'redrive', '--all', '--rate', '5', '--limit', '1'], /cannot be used with option '--limit/],
    [['schedules', 'put', 'nightly'], /required option '--job/],
    [
      ['schedules', 'put', 'x', '--job', 'x', '--every', '5', '--at', 'y'],
      /'--every <seconds>' cannot be used with .*'--at/,
    ],
    [['sagas', 'list', '--state', 'dead'], /Allowed choices are running, completed/],
    [['sagas', 'start', 'orders.place', '[1]'], /JSON object/],
    [['start'], /missing required argument 'role'/],
    [['start', 'cook'], /Allowed choices are api, worker, scheduler/],
    [['search', 'x', '--workspace', 'w', '--mode', 'psychic'], /keyword, semantic, hybrid/],
  ])('%j end with exit code 2 and one clear line', async (args, says) => {
    const { exitCode, stdout, stderr } = await commandLine(args);
    expect([exitCode, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(/^treadle: /);
    expect(stderr).toMatch(says);
    expect(stderr).not.toMatch(/ {4}at /);
  });

  it('are told to machines in the shape of every other error', async () => {
    const { exitCode, stderr } = await runTreadle(['jobs', 'show', '17', '--json']);
    expect(exitCode).toBe(2);
    expect(JSON.parse(stderr)).toMatchObject({ error: { code: 'VALIDATION_ERROR', message: expect.any(String) } });
  });
});
