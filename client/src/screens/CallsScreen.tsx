import { t } from '../strings';

export function CallsScreen() {
  return <h1>{t.calls.title}</h1>;
}
