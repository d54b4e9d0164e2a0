/** The limits of labels, the same as on the server. Pure. */

export const LABELS_MAX = 32;
export const LABEL_BYTES_MAX = 64;

export type LabelProblem = 'tooLong' | 'tooMany' | 'twice';

/** Appends a label, or returns why not; null: nothing was typed. */
export function addLabel(labels: readonly string[], typed: string): string[] | LabelProblem | null {
  const label = typed.trim();
  if (!label) return null;
  if (labels.includes(label)) return 'twice';
  if (labels.length >= LABELS_MAX) return 'tooMany';
  if (new TextEncoder().encode(label).length > LABEL_BYTES_MAX) return 'tooLong';
  return [...labels, label];
}
