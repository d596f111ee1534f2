import { z } from 'zod';
import { validationError, type Fault } from '../../lib/errors/app-error.ts';
import { faultsOf, parseOrThrow, safeParse } from '../../lib/errors/zod-faults.ts';
import { uuidV7 } from '../../lib/ids/uuid-v7.ts';
import { storableObject, storableText } from '../../lib/text/storable.ts';
import { eventType } from './event-type.ts';

/** What happened, as JSON. */
export type EventData = Readonly<Record<string, unknown>>;

/** An event that is to be. */
export interface NewEvent {
  /** A UUID; made when left out. An event that is there keeps its id for itself, so that giving one makes publishing idempotent. */
  readonly id?: string | undefined;
  /** Lower case words joined by dots, such as `order.paid`. */
  readonly type: string;
  /** What it happened to: any text of up to 500 characters. */
  readonly aggregateId: string;
  /** Of the aggregate, after it. */
  readonly version?: number | null | undefined;
  /** Up to 64 KiB as JSON. */
  readonly data?: EventData | undefined;
  /** Whose it is; nobody's by default. */
  readonly workspaceId?: string | null | undefined;
  /** Who did it. */
  readonly actor?: string | null | undefined;
  /** Now by default. */
  readonly occurredOn?: Date | undefined;
}

export interface EventFields {
  readonly id: string;
  readonly type: string;
  readonly occurredOn: Date;
  readonly aggregateId: string;
  readonly version: number | null;
  readonly data: EventData;
  readonly workspaceId: string | null;
  readonly actor: string | null;
}

/** {@link EventFields} as JSON has them. */
export type EventJson = Omit<EventFields, 'occurredOn'> & { readonly occurredOn: string };

const maxDataBytes = 65_536;
const years = { from: Date.parse('0001-01-01T00:00:00Z'), to: Date.UTC(10_000, 0) };
const beyondTime = 'must be a time in the years 1 to 9999';
const uuid = z.guid({ error: 'must be a UUID' }).toLowerCase();
const inYears = (time: Date): boolean => time.getTime() >= years.from && time.getTime() < years.to;

/** A time that Postgres, Redis and JSON agree on. */
export const eventTime = z.date({ error: 'must be a time' }).refine(inYears, beyondTime);
const timeText = z.iso
  .datetime({ offset: true })
  .transform((text) => new Date(text))
  .refine(inYears, beyondTime);

const fields = {
  id: uuid.optional(),
  type: eventType,
  aggregateId: storableText(500).min(1, 'must not be empty'),
  version: z.int().min(0).max(2_147_483_647).nullish(),
  data: storableObject(maxDataBytes).optional(),
  workspaceId: uuid.nullish(),
  actor: storableText(200).nullish(),
};
/** An event as it comes over HTTP: whose it is and who did it is known from the request. */
export const eventBody = z
  .strictObject({ ...fields, occurredOn: timeText.optional() })
  .omit({ workspaceId: true, actor: true });
const newEvent = z.strictObject({ ...fields, occurredOn: eventTime.optional() });
/** What was kept once is read whatever its size. */
const jsonShape = z.object({
  ...fields,
  id: uuid,
  data: z.record(z.string(), z.unknown()).optional(),
  occurredOn: timeText,
});

/** A {@link NewEvent} that was looked at: its time is left open where the publisher left it open. */
export type ParsedEvent = Omit<EventFields, 'occurredOn'> & { readonly occurredOn: Date | undefined };

const freeze = (value: unknown): void => {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return;
  Object.freeze(value);
  for (const inner of Object.values(value)) freeze(inner);
};

const complete = ({ data, version, workspaceId, actor, ...rest }: z.output<typeof newEvent>): ParsedEvent => ({
  ...rest,
  id: rest.id ?? uuidV7(),
  version: version ?? null,
  data: data ?? {},
  workspaceId: workspaceId ?? null,
  actor: actor ?? null,
  occurredOn: rest.occurredOn,
});

/** What somebody wants to publish, or all that is wrong with it. `prefix`: where in their input it lies. */
export const readNewEvent = (
  input: unknown,
  prefix: readonly PropertyKey[],
): { readonly event: ParsedEvent } | { readonly faults: readonly Fault[] } => {
  const parsed = safeParse(newEvent, input);
  if (!parsed.success) return { faults: faultsOf(parsed.error, prefix) };
  const event = complete(parsed.data);
  // A copy, and what a store would give back.
  return { event: { ...event, data: JSON.parse(JSON.stringify(event.data)) } };
};

/** Something that happened. It never changes, so that many may hold it. */
export class DomainEvent implements EventFields {
  readonly id: string;
  readonly type: string;
  readonly occurredOn: Date;
  readonly aggregateId: string;
  readonly version: number | null;
  readonly data: EventData;
  readonly workspaceId: string | null;
  readonly actor: string | null;

  /** Of fields that were looked at, as {@link DomainEvent.create} and {@link DomainEvent.fromJSON} do. */
  constructor({ id, type, occurredOn, aggregateId, version, data, workspaceId, actor }: EventFields) {
    this.id = id;
    this.type = type;
    this.occurredOn = occurredOn;
    this.aggregateId = aggregateId;
    this.version = version;
    this.data = data;
    this.workspaceId = workspaceId;
    this.actor = actor;
    freeze(this);
  }

  /** @throws AppError VALIDATION_ERROR naming every field that does not fit. */
  static create(input: NewEvent): DomainEvent {
    const read = readNewEvent(input, []);
    if ('faults' in read) throw validationError('the event', read.faults);
    return new DomainEvent({ ...read.event, occurredOn: read.event.occurredOn ?? new Date() });
  }

  /** What {@link toJSON} answered; fields it does not know are left out. @throws AppError VALIDATION_ERROR. */
  static fromJSON(json: unknown): DomainEvent {
    const parsed = parseOrThrow(jsonShape, json, 'the event');
    return new DomainEvent({ ...complete(parsed), occurredOn: parsed.occurredOn });
  }

  toJSON(): EventJson {
    const { id, type, occurredOn, aggregateId, version, data, workspaceId, actor } = this;
    return { id, type, occurredOn: occurredOn.toISOString(), aggregateId, version, data, workspaceId, actor };
  }
}
