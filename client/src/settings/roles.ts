/** What someone may do, as it is chosen from a list. */
import type { Role } from '../api/types';
import { t } from '../strings';

export const ROLES: readonly { value: Role; label: string }[] = [
  { value: 'user', label: t.settings.account.user },
  { value: 'admin', label: t.settings.account.admin },
];

/** The role of that value; of any other, the one that may do less. */
export const roleOf = (value: string): Role => (value === 'admin' ? 'admin' : 'user');
