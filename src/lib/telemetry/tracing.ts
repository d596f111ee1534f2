import {
  context,
  ProxyTracerProvider,
  ROOT_CONTEXT,
  SpanStatusCode,
  trace,
  TraceFlags,
  type Attributes,
  type Context,
  type Span,
  type SpanKind,
} from '@opentelemetry/api';
import { serializeError } from '../errors/classify.ts';

const scope = 'treadle';

/** Whether anybody collects traces in this process: cheap enough to be asked for every job. */
export const isTracing = (): boolean => {
  const provider = trace.getTracerProvider();
  return !(provider instanceof ProxyTracerProvider) || provider.getDelegateTracer(scope) !== undefined;
};

const traceparentRule = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/;

/** A span as W3C Trace Context writes it (`traceparent`, version 00). */
const traceparentOf = (span: Span): string | undefined => {
  const spanContext = span.spanContext();
  if (!trace.isSpanContextValid(spanContext)) return undefined;
  const { traceId, spanId, traceFlags } = spanContext;
  return `00-${traceId}-${spanId}-${(traceFlags & TraceFlags.SAMPLED).toString(16).padStart(2, '0')}`;
};

/** The active span's `traceparent`; undefined where there is none. */
export const activeTraceparent = (): string | undefined => {
  const span = trace.getActiveSpan();
  return span && traceparentOf(span);
};

/** The context below the span that `traceparent` names; text that is none names nothing. */
export const contextOf = (traceparent: string | undefined): Context => {
  const [, traceId, spanId, flags] = traceparentRule.exec(traceparent ?? '') ?? [];
  if (traceId === undefined || spanId === undefined || flags === undefined) return ROOT_CONTEXT;
  const spanContext = { traceId, spanId, traceFlags: Number.parseInt(flags, 16) & TraceFlags.SAMPLED, isRemote: true };
  return trace.isSpanContextValid(spanContext) ? trace.setSpanContext(ROOT_CONTEXT, spanContext) : ROOT_CONTEXT;
};

export interface SpanInput {
  readonly kind: SpanKind;
  readonly attributes: Attributes;
  /** Below the active span unless given. */
  readonly parent?: Context;
}

/** Runs `work` with a span of this name as the active one; what it throws is recorded, and thrown on. */
export const withSpan = <T>(name: string, input: SpanInput, work: (span: Span) => Promise<T>): Promise<T> => {
  const { parent = context.active(), ...options } = input;
  return trace.getTracer(scope).startActiveSpan(name, options, parent, async (span) => {
    try {
      return await work(span);
    } catch (error) {
      recordError(span, error);
      throw error;
    } finally {
      span.end();
    }
  });
};

/** Notes on the span that its work failed, with what the ledger would keep of the error. */
export const recordError = (span: Span, error: unknown): void => {
  const { code, message, stack } = serializeError(error);
  span.recordException({ name: code, message, ...(stack === undefined ? {} : { stack }) });
  span.setAttribute('error.type', code);
  span.setStatus({ code: SpanStatusCode.ERROR, message });
};
