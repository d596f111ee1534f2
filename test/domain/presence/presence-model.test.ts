import * as fc from 'fast-check';
import { beforeAll, expect, test } from 'vitest';
import type { PresenceService } from '../../../src/domain/presence/service.ts';
import { describeEachKv } from '../../services/kv.ts';
import { usePresence } from './presence-world.ts';

const users = ['ada', 'bob', 'eva'] as const;
const sockets = ['one', 'two'] as const;
const longAgo = 1_800_000 + 60_000;

type State = 'heard' | 'silent';

/** A document as it should be: users in the order of their joining, each with their connections, and what happened. */
class DocumentModel {
  readonly #present = new Map<string, Map<string, State>>();
  readonly events: string[] = [];

  users(): readonly string[] {
    return [...this.#present].flatMap(([user, connections]) =>
      [...connections.values()].includes('heard') ? [user] : [],
    );
  }

  state(user: string, socket: string): State | undefined {
    return this.#present.get(user)?.get(socket);
  }

  join(user: string, socket: string): void {
    this.#takeOut(user, (state) => state === 'silent');
    const connections = this.#present.get(user) ?? new Map<string, State>();
    if (connections.size === 0) this.events.push(`joined ${user}`);
    this.#present.set(user, connections.set(socket, 'heard'));
  }

  silence(user: string, socket: string): void {
    this.#present.get(user)?.set(socket, 'silent');
  }

  /** Whether a connection that lives was taken out. */
  leave(user: string, socket: string | undefined): boolean {
    return this.#takeOut(user, (state, name) => state === 'silent' || socket === undefined || name === socket);
  }

  clean(): void {
    // Several go in an order of the server's own.
    const gone = [...this.#present.keys()].filter((user) => !this.users().includes(user)).toSorted();
    for (const user of gone) this.#takeOut(user, () => true);
    for (const user of this.#present.keys()) this.#takeOut(user, (state) => state === 'silent');
  }

  #takeOut(user: string, isGone: (state: State, socket: string) => boolean): boolean {
    const connections = this.#present.get(user);
    if (!connections) return false;
    const gone = [...connections].filter(([socket, state]) => isGone(state, socket));
    for (const [socket] of gone) connections.delete(socket);
    const asked = gone.some(([, state]) => state === 'heard');
    if (connections.size === 0) {
      this.#present.delete(user);
      this.events.push(`left ${user} ${asked ? 'removed' : 'expired'}`);
    }
    return asked;
  }
}

const command = fc.record({
  process: fc.nat({ max: 2 }),
  user: fc.constantFrom(...users),
  socket: fc.constantFrom(...sockets),
  act: fc.constantFrom('join', 'join', 'join', 'heartbeat', 'leave', 'leave all', 'crash', 'clean'),
});

describeEachKv('presence beside its model', (given) => {
  const world = usePresence(given);

  type Command = typeof command extends fc.Arbitrary<infer C> ? C : never;
  let services: readonly PresenceService[] = [];
  beforeAll(() => {
    services = [world.presence, world.another(), world.another()];
  });

  /** Does it to the document and to the model. */
  const act = async (
    model: DocumentModel,
    doc: string,
    { process, user, socket, act: what }: Command,
  ): Promise<void> => {
    const service = services[process] ?? world.presence;
    const alive = model.state(user, socket) === 'heard';
    switch (what) {
      case 'join':
        model.join(user, socket);
        await service.addUser(doc, user, socket);
        break;
      case 'heartbeat':
        expect(await service.updateUserActivity(doc, user, socket, { user })).toBe(alive);
        break;
      case 'leave':
        expect(await service.removeUser(doc, user, socket)).toBe(model.leave(user, socket) && alive);
        break;
      case 'leave all':
        expect(await service.removeUser(doc, user)).toBe(model.leave(user, undefined));
        break;
      case 'crash':
        if (!alive) break;
        model.silence(user, socket);
        await world.silence(doc, user, socket, longAgo);
        break;
      case 'clean':
        model.clean();
        await service.cleanupInactiveUsers();
        break;
    }
  };

  test('shows and tells the same, however users join, are heard, leave and crash in several processes', async () => {
    let run = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(command, { minLength: 10, maxLength: 40 }), async (commands) => {
        run += 1;
        const doc = `model ${run}`;
        const model = new DocumentModel();
        const { sequence } = await world.presence.addUser(doc, 'first', 's');
        model.join('first', 's');
        for (const each of commands) {
          await act(model, doc, each);
          const { items } = await world.presence.getActiveUsers(doc);
          expect(items.map(({ userId }) => userId)).toEqual(model.users());
        }
        const events = await world.eventsAfter(doc, sequence - 1);
        expect(events.map((event) => event.sequence)).toEqual(events.map((_, index) => sequence + index));
        const told = events.map(({ type, userId, reason }) =>
          [type, userId, ...(reason === null ? [] : [reason])].join(' '),
        );
        expect(inOrder(told)).toEqual(inOrder(model.events));
      }),
      { numRuns: 12 },
    );
  });
});

/** Those who are cleaned up together go in any order. */
const inOrder = (events: readonly string[]): readonly string[] => {
  const ordered: string[] = [];
  let together: string[] = [];
  for (const event of [...events, '']) {
    if (event.endsWith('expired')) {
      together.push(event);
      continue;
    }
    ordered.push(...together.toSorted(), event);
    together = [];
  }
  return ordered;
};
