import type { DomainEvent } from '../../../src/domain/events/domain-event.ts';
import {
  fits,
  latestFirst,
  parseCriteria,
  type EventCriteria,
  type EventStorage,
  type EventStorageStats,
} from '../../../src/domain/events/event-storage.ts';

/** The storage of docs/events.md, in an app's words. */
export class MemoryEventStorage implements EventStorage {
  readonly #events = new Map<string, DomainEvent>();
  #connected = false;

  async save(event: DomainEvent): Promise<void> {
    if (!this.#events.has(event.id)) this.#events.set(event.id, event);
  }

  async saveBatch(events: readonly DomainEvent[]): Promise<void> {
    for (const event of events) await this.save(event);
  }

  async load(eventId: string): Promise<DomainEvent | null> {
    return this.#events.get(eventId) ?? null;
  }

  async delete(eventId: string): Promise<boolean> {
    return this.#events.delete(eventId);
  }

  async query(criteria: EventCriteria): Promise<readonly DomainEvent[]> {
    const parsed = parseCriteria(criteria);
    const found = [...this.#events.values()].filter((event) => fits(event, parsed));
    return found.toSorted(latestFirst).slice(0, parsed.limit);
  }

  async getStats(): Promise<EventStorageStats> {
    const typeCounts: Record<string, number> = {};
    for (const { type } of this.#events.values()) typeCounts[type] = (typeCounts[type] ?? 0) + 1;
    return { totalEvents: this.#events.size, typeCounts, connected: this.#connected };
  }

  async connect(): Promise<void> {
    this.#connected = true;
  }

  async disconnect(): Promise<void> {
    this.#connected = false;
  }

  isConnected(): boolean {
    return this.#connected;
  }

  async healthCheck(): Promise<boolean> {
    return true;
  }
}
