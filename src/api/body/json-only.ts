import type { FastifyInstance } from 'fastify';
import { validationError } from '../../lib/errors/app-error.ts';
import { textFaults } from './text-faults.ts';

/**
 * Bodies are JSON and nothing else. An empty one counts as none, whatever its content type says; one with text that
 * Postgres cannot keep is refused with the path.
 */
export const acceptJsonOnly = (app: FastifyInstance): void => {
  app.removeAllContentTypeParsers();
  const parseJson = app.getDefaultJsonParser('error', 'error');
  app.addContentTypeParser<string>('application/json', { parseAs: 'string' }, (request, text, done) => {
    if (text.length === 0) {
      done(null);
      return;
    }
    void parseJson(request, text, (error, body: unknown) => {
      if (error) {
        done(validationError('the body', [{ path: '', message: 'is not well-formed JSON' }]));
        return;
      }
      const faults = textFaults(body);
      if (faults.length > 0) done(validationError('the body', faults));
      else done(null, body);
    });
  });
};
