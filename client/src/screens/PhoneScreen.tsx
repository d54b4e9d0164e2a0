import { t } from '../strings';

export function PhoneScreen() {
  return <h1>{t.phone.title}</h1>;
}
