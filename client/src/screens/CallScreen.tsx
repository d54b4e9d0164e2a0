/** The page of one call: live while it is in progress, with a player after it. */
import { useQuery } from '@tanstack/react-query';
import { ApiError, messageOf } from '../api/client';
import { callQuery } from '../api/queries';
import { isFinalStatus, refreshMs } from '../callRecord/outcome';
import { nameOf } from '../callRecord/party';
import { CallHeader } from '../history/CallHeader';
import { listPath } from '../history/listPath';
import { OngoingCall } from '../history/OngoingCall';
import { StoredCall } from '../history/StoredCall';
import { useFormatParty } from '../numbers/format';
import { t } from '../strings';
import { ButtonLink } from '../ui/ButtonLink';
import { Button, Empty, Spinner } from '../ui/controls';
import css from './CallScreen.module.css';

export function CallScreen({ sid }: { sid: string }) {
  const formatParty = useFormatParty();
  const query = useQuery({
    ...callQuery(sid),
    refetchInterval: ({ state }) => (state.data ? refreshMs(state.data, Date.now()) : false),
  });
  if (query.isPending) return <Spinner label={t.ui.loading} />;
  if (!query.data) return <Failure error={query.error} onRetry={() => void query.refetch()} />;
  const call = query.data;
  const name = nameOf(call, formatParty);
  const names = { agent: t.call.you, customer: name };
  return (
    <article className={css.page}>
      <CallHeader call={call} name={name} />
      {isFinalStatus(call.status) ? (
        <StoredCall call={call} names={names} />
      ) : (
        <OngoingCall sid={call.sid} />
      )}
    </article>
  );
}

function Failure({ error, onRetry }: { error: unknown; onRetry: () => void }) {
  const strings = t.calls.page;
  if (error instanceof ApiError && error.status === 404)
    return (
      <Empty
        title={strings.noSuchCall}
        action={<ButtonLink href={listPath()}>{strings.back}</ButtonLink>}
      >
        {strings.noSuchCallHint}
      </Empty>
    );
  return (
    <Empty title={messageOf(error)} action={<Button onClick={onRetry}>{t.ui.retry}</Button>} />
  );
}
