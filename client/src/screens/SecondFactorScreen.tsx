/** Shown before any other screen when the server requires a second factor of the user. */

import { CardPage } from '../session/CardPage';
import { ConfirmIdentity } from '../session/ConfirmIdentity';
import { SignOut } from '../session/SignOut';
import { SecondFactorList } from '../settings/SecondFactor';
import { t } from '../strings';

export function SecondFactorScreen() {
  return (
    <CardPage title={t.factor.neededTitle} lead={t.factor.neededLead}>
      <SecondFactorList />
      <SignOut />
      <ConfirmIdentity />
    </CardPage>
  );
}
