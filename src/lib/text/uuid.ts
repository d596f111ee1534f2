const uuidForm = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** Whether the text is written like an id, so that Postgres takes it as one. */
export const isUuid = (text: string): boolean => uuidForm.test(text);
