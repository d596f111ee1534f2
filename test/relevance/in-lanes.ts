const lanes = 4;

/** The answers of `ask` for each of `asked`, in their order; a few are asked at a time. */
export const inLanes = async <T, R>(asked: readonly T[], ask: (each: T) => Promise<R>): Promise<readonly R[]> => {
  const answers: R[] = [];
  const left = asked.entries();
  const lane = async (): Promise<void> => {
    for (const [index, each] of left) answers[index] = await ask(each);
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return answers;
};
