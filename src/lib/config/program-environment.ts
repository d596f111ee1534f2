/** What a program that this process starts finds in its environment: ours, and what is given. */
export const programEnvironment = (given: Readonly<Record<string, string>>): NodeJS.ProcessEnv => ({
  ...process.env,
  ...given,
});
