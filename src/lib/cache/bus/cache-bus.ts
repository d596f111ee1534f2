/** Carries short texts between all processes of a cache, this one included; a text may be lost, and none comes twice. */
export interface CacheBus {
  readonly kind: 'redis' | 'notify';
  /** The longest text it takes, in bytes. */
  readonly maxBytes: number;
  /** Begins to listen. What can't be had is tried again until {@link close}. */
  start(listener: BusListener): void;
  /** @throws what the connection throws. */
  publish(text: string): Promise<void>;
  close(): Promise<void>;
}

export interface BusListener {
  readonly message: (text: string) => void;
  /** From now on texts may be lost. */
  readonly lost: () => void;
  /** Perhaps they arrive again; whoever wants to know sends itself something. */
  readonly back: () => void;
}
