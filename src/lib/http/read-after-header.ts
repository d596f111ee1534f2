/** Where an answer says, and a request asks, up to which position in Postgres' log a replica must have come. */
export const readAfterHeader = 'x-treadle-read-after';
