import { queryOptions, useQuery } from '@tanstack/react-query';
import { ApiError, api, errorOf, messageOf } from '../api/client';
import { settingsQuery } from '../api/queries';
import type { ServerSettings } from '../api/types';
import { sentence } from '../format/sentence';
import { t } from '../strings';
import { Button, Chip, Spinner } from '../ui/controls';
import { Section } from './Section';
import { factsOf } from './serverFacts';
import css from './settings.module.css';

const words = t.settings.server;

/** Whether the server can take calls now. “Not ready” is a result, not an error. */
const readyQuery = queryOptions({
  queryKey: ['ready'],
  queryFn: async ({ signal }) => {
    const { data, error, response } = await api.GET('/readyz', { signal }).catch((cause) => {
      if (cause instanceof DOMException) throw cause;
      throw new ApiError('unreachable', t.errors.unreachable, 0);
    });
    if (data) return data;
    if (error && 'reasons' in error) return error;
    throw errorOf(error, response.status);
  },
});

/** The state and the settings of the server, read-only. */
export function ThisServer() {
  const ready = useQuery(readyQuery);
  const settings = useQuery(settingsQuery);
  return (
    <Section
      id="server"
      title={words.title}
      hint={words.where}
      action={
        <Button disabled={ready.isFetching} onClick={() => ready.refetch()}>
          {words.again}
        </Button>
      }
    >
      {ready.isPending && <Spinner label={t.ui.loading} />}
      {ready.isError && (
        <p className={css.status}>
          <Chip tone="warn">{words.unknown}</Chip> {messageOf(ready.error)}
        </p>
      )}
      {ready.data && !ready.isError && (
        <div className={css.status} role="status">
          <Chip tone={ready.data.ready ? 'accent' : 'danger'}>
            {ready.data.ready ? words.ready : words.notReady}
          </Chip>
          {ready.data.reasons.length > 0 && (
            <ul className={css.reasons}>
              {ready.data.reasons.map((reason) => (
                <li key={reason}>{sentence(reason)}</li>
              ))}
            </ul>
          )}
        </div>
      )}
      {settings.isError && <p className={css.wrong}>{messageOf(settings.error)}</p>}
      {settings.data && <Facts settings={settings.data} />}
    </Section>
  );
}

function Facts({ settings }: { settings: ServerSettings }) {
  const { missing } = settings.twilio;
  return (
    <>
      {missing.length > 0 && (
        <div>
          <p>{words.twilioMissing}</p>
          <ul className={css.reasons}>
            {missing.map((name) => (
              <li key={name}>
                <code>{name}</code>
              </li>
            ))}
          </ul>
        </div>
      )}
      <dl className={css.facts}>
        {factsOf(settings).map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
    </>
  );
}
