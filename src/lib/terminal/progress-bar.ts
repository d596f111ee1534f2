/** A bar on standard error, or nothing where nobody watches. */
export interface ProgressBar {
  readonly update: (done: number, total: number, note?: string) => void;
  /** Takes the bar off the terminal's last line. Call it also when the work failed. */
  readonly stop: () => void;
}

const silent: ProgressBar = { update: () => undefined, stop: () => undefined };

/** `unit` names what is counted, in the plural. */
export const openProgressBar = async (
  label: string,
  unit: string,
  { interactive }: { readonly interactive: boolean },
): Promise<ProgressBar> => {
  if (!interactive) return silent;
  const { default: progress } = await import('cli-progress');
  const bar = new progress.SingleBar(
    {
      format: `${label} {bar} {value}/{total} ${unit}{note}`,
      hideCursor: true,
      clearOnComplete: true,
      gracefulExit: false,
      stream: process.stderr,
    },
    progress.Presets.shades_classic,
  );
  let started = false;
  return {
    update: (done, total, note = '') => {
      const text = note === '' ? '' : `, ${note}`;
      if (!started) bar.start(total, done, { note: text });
      started = true;
      bar.setTotal(total);
      bar.update(done, { note: text });
    },
    stop: () => {
      if (started) bar.stop();
    },
  };
};
