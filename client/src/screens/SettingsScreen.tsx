import { t } from '../strings';

export function SettingsScreen() {
  return <h1>{t.settings.title}</h1>;
}
