import { OutcomeError, permanent, rateLimited } from 'treadle';

export interface Mail {
  readonly to: string;
  readonly subject: string;
}

/** Hands a mail to the service at MAIL_URL. Its answers decide what becomes of the job: an unknown error is tried again. */
export const sendMail = async (mail: Mail, signal: AbortSignal): Promise<void> => {
  const response = await fetch(process.env['MAIL_URL'] ?? 'http://127.0.0.1:4800', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(mail),
    signal,
  });
  if (response.ok) return;
  if (response.status === 429) {
    throw new OutcomeError(rateLimited(Number(response.headers.get('retry-after') ?? 1) * 1_000));
  }
  const error = new Error(`the mail service answered ${response.status}`);
  throw response.status < 500 ? new OutcomeError(permanent(error)) : error;
};
