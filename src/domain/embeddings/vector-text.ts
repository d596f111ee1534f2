/** The same direction at length 1; all zeroes stay so. */
export const normalise = (vector: Float32Array): Float32Array => {
  let squares = 0;
  for (const value of vector) squares += value * value;
  if (squares === 0 || !Number.isFinite(squares)) return new Float32Array(vector.length);
  const norm = Math.sqrt(squares);
  return vector.map((value) => value / norm);
};

/**
 * A vector of length 1 as Postgres reads `real[]`, to seven decimals: half the bytes of printing every digit, and far
 * finer than what ranks documents.
 */
export const vectorText = (vector: Float32Array): string => {
  let text = '{';
  for (const [index, value] of vector.entries()) text += `${index === 0 ? '' : ','}${Math.round(value * 1e7)}e-7`;
  return `${text}}`;
};
