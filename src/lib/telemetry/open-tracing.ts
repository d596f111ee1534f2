import type { Config } from '../config/load-config.ts';
import { withTimeout } from '../batching/with-timeout.ts';
import type { Log } from '../log/create-log.ts';

export interface Tracing {
  /** Sends what is left. */
  close(): Promise<void>;
}

const farewellMs = 3_000;

/**
 * Sends this process' spans to `OTEL_EXPORTER_OTLP_ENDPOINT`, and loads the SDK only if that is set. The other standard
 * variables (headers, sampler, resource attributes, …) are read by the SDK itself.
 */
export const openTracing = async ({ tracing }: Config, log: Log): Promise<Tracing> => {
  if (tracing.endpoint === undefined) return { close: () => Promise.resolve() };
  const [
    { BatchSpanProcessor, NodeTracerProvider },
    { OTLPTraceExporter },
    resources,
    { trace, context, propagation },
  ] = await Promise.all([
    import('@opentelemetry/sdk-trace-node'),
    import('@opentelemetry/exporter-trace-otlp-proto'),
    import('@opentelemetry/resources'),
    import('@opentelemetry/api'),
  ]);
  const { defaultResource, detectResources, envDetector, resourceFromAttributes } = resources;
  const provider = new NodeTracerProvider({
    resource: defaultResource()
      .merge(detectResources({ detectors: [envDetector] }))
      .merge(resourceFromAttributes({ 'service.name': tracing.serviceName })),
    spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())],
  });
  provider.register();
  log.info({ event: 'tracing.started', service: tracing.serviceName });
  return {
    close: async () => {
      trace.disable();
      context.disable();
      propagation.disable();
      await withTimeout(provider.shutdown(), farewellMs, 'the receiver of traces').catch((error: unknown) =>
        log.warn({ event: 'tracing.farewell-failed', err: error }),
      );
    },
  };
};
