import { connectDirect } from '../postgres/pool.ts';
import { checkServer } from './requirements.ts';
import { slotNameOf } from './slot.ts';

/** Whether a change stream can be read from the database. @throws StreamUnavailable, and what connecting throws. */
export const checkStream = async (url: string): Promise<void> => {
  const client = await connectDirect(url, 'treadle:check');
  client.on('error', () => undefined);
  try {
    await checkServer(client, await slotNameOf(client));
  } finally {
    await client.end();
  }
};
