/** The host wants a second factor of this user: it is set up before anything else. */
import { SecondFactorParts } from '../settings/SecondFactor';
import { t } from '../strings';
import { SignOut } from './Account';
import { ConfirmIdentity } from './ConfirmIdentity';
import { Welcome } from './Welcome';

export function FirstFactor() {
  return (
    <Welcome title={t.factor.neededTitle} lead={t.factor.neededLead}>
      <SecondFactorParts />
      <SignOut />
      <ConfirmIdentity />
    </Welcome>
  );
}
