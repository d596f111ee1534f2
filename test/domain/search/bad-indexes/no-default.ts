export const indexes: readonly unknown[] = [];
