import { loadConfig, type Config } from './load-config.ts';
import { unknownVariables, type UnknownVariable } from './unknown-variables.ts';

/**
 * The configuration of this process. `defaults` stand in for variables that are not set.
 * @throws AppError CONFIGURATION_ERROR, see {@link loadConfig}.
 */
export const processConfig = (defaults: Readonly<Record<string, string>> = {}): Config =>
  loadConfig({ ...defaults, ...process.env });

/** See {@link unknownVariables}, of this process. */
export const processUnknownVariables = (): readonly UnknownVariable[] => unknownVariables(process.env);
