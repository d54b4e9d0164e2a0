/** What a label may be: the server's limits, said before it refuses. Pure. */

export const LABELS_MAX = 32;
export const LABEL_BYTES_MAX = 64;

export type LabelFault = 'tooLong' | 'tooMany' | 'twice';

/** The labels with one more; null: nothing was typed. */
export function addLabel(labels: readonly string[], typed: string): string[] | LabelFault | null {
  const label = typed.trim();
  if (!label) return null;
  if (labels.includes(label)) return 'twice';
  if (labels.length >= LABELS_MAX) return 'tooMany';
  if (new TextEncoder().encode(label).length > LABEL_BYTES_MAX) return 'tooLong';
  return [...labels, label];
}
