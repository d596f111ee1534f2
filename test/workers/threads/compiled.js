export default {
  contract: {
    name: 'threads.act',
    payload: { safeParse: (data) => ({ success: true, data }) },
    encrypt: [],
    redact: [],
  },
  run: async ({ payload }) => ({ kind: 'completed', result: payload.how }),
};
