/** The roles, as options of a list. */
import type { Role } from '../api/types';
import { t } from '../strings';

export const ROLES: readonly { value: Role; label: string }[] = [
  { value: 'user', label: t.settings.account.user },
  { value: 'admin', label: t.settings.account.admin },
];

/** Parses the value of an option; unknown values get the role with fewer permissions. */
export const roleOf = (value: string): Role => (value === 'admin' ? 'admin' : 'user');
