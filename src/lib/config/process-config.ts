import { loadConfig, type Config } from './load-config.ts';

/**
 * The configuration of this process. `defaults` stand in for variables that are not set.
 * @throws AppError CONFIGURATION_ERROR, see {@link loadConfig}.
 */
export const processConfig = (defaults: Readonly<Record<string, string>> = {}): Config =>
  loadConfig({ ...defaults, ...process.env });
