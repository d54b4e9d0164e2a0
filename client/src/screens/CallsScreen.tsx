/** The list of calls, with search and filters. */
import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { useEffect, useId, useMemo, useRef, useState } from 'react';
import { useLocation, useSearch } from 'wouter';
import { messageOf } from '../api/client';
import { useSimulation } from '../call/simulation';
import { refreshLists } from '../callRecord/edits';
import { CallGroup, CallList, More } from '../history/CallList';
import { FilterPanel } from '../history/FilterPanel';
import {
  countFilters,
  type Filters,
  isEverything,
  NO_FILTERS,
  readFilters,
  writeFilters,
} from '../history/filters';
import { rememberSearch } from '../history/listPath';
import { listQuery, ongoingQuery, PAGES_MAX } from '../history/queries';
import { SearchBar } from '../history/SearchBar';
import { useShortcuts } from '../keys/shortcuts';
import { useFormatParty } from '../numbers/format';
import { callPath } from '../player/moment';
import { t } from '../strings';
import { ButtonLink } from '../ui/ButtonLink';
import { Button, Empty, Spinner } from '../ui/controls';
import css from './CallsScreen.module.css';

export function CallsScreen() {
  const search = useSearch();
  const [, navigate] = useLocation();
  const filters = useMemo(() => readFilters(search), [search]);
  const count = countFilters(filters);
  const [isOpen, setOpen] = useState(count > 0);
  const panelId = useId();
  const field = useRef<HTMLInputElement>(null);
  useShortcuts([{ keys: '/', does: t.calls.keys.search, run: () => field.current?.focus() }]);
  useEffect(() => rememberSearch(writeFilters(filters)), [filters]);

  const change = (changed: Partial<Filters>) => {
    // The user may have left the screen before the debounced change arrived.
    if (window.location.pathname !== '/calls') return;
    const next = { ...filters, ...changed };
    // Editing a search replaces the history entry, so that Back undoes it in one step.
    const replace = 'q' in changed && filters.q !== '' && next.q !== '';
    navigate(`/calls${writeFilters(next)}`, { replace });
  };

  return (
    <div className={css.screen}>
      <h1>{t.calls.title}</h1>
      <SearchBar
        field={field}
        value={filters.q}
        onChange={(q) => change({ q })}
        filterCount={count}
        isOpen={isOpen}
        onToggle={() => setOpen(!isOpen)}
        panelId={panelId}
      />
      <div id={panelId} hidden={!isOpen}>
        <FilterPanel filters={filters} onChange={change} />
      </div>
      {!isEverything(filters) && (
        <Button look="quiet" icon="close" onClick={() => navigate('/calls')}>
          {t.calls.list.clearAll}
        </Button>
      )}
      <Results filters={filters} />
    </div>
  );
}

function Results({ filters }: { filters: Filters }) {
  const formatParty = useFormatParty();
  const list = useInfiniteQuery(listQuery(filters));
  const ongoing = useOngoing(isEverything(filters));
  if (list.isPending) return <Spinner label={t.calls.list.loading} />;
  if (list.isError && !list.data)
    return (
      <Empty
        title={messageOf(list.error)}
        action={<Button onClick={() => list.refetch()}>{t.ui.retry}</Button>}
      />
    );
  const shown = new Set(ongoing.map((call) => call.sid));
  const calls = list.data.pages
    .flatMap((page) => page.calls)
    .filter((call) => !shown.has(call.sid));
  if (calls.length + ongoing.length === 0)
    return isEverything(filters) ? <NoCalls /> : <NoneFound />;
  return (
    <>
      {ongoing.length > 0 && (
        <CallGroup title={t.calls.list.now} calls={ongoing} formatParty={formatParty} />
      )}
      <CallList calls={calls} formatParty={formatParty} />
      {list.isFetchNextPageError && <p role="alert">{messageOf(list.error)}</p>}
      {list.hasNextPage && (
        <More
          isBusy={list.isFetchingNextPage}
          onMore={() => {
            if (!list.isFetchingNextPage) void list.fetchNextPage();
          }}
        />
      )}
      {list.data.pages.length >= PAGES_MAX && <p className={css.note}>{t.calls.list.enough}</p>}
    </>
  );
}

/** The calls in progress; fetches the list again when one of them ends. */
function useOngoing(isShown: boolean) {
  const { data = [] } = useQuery({ ...ongoingQuery, enabled: isShown });
  const sids = data.map((call) => call.sid).join(' ');
  const before = useRef(sids);
  useEffect(() => {
    if (before.current !== sids) void refreshLists();
    before.current = sids;
  }, [sids]);
  return isShown ? data : [];
}

function NoneFound() {
  const { list } = t.calls;
  return (
    <Empty
      title={list.noneFound}
      action={<ButtonLink href={`/calls${writeFilters(NO_FILTERS)}`}>{list.clearAll}</ButtonLink>}
    >
      {list.noneFoundHint}
    </Empty>
  );
}

/** Shown to new users, with a link to the phone and the simulated call if available. */
function NoCalls() {
  const { list } = t.calls;
  const [, navigate] = useLocation();
  const simulation = useSimulation((sid) => navigate(callPath(sid)));
  return (
    <Empty
      title={list.noneYet}
      action={
        <div className={css.ways}>
          <ButtonLink href="/" icon="phone">
            {list.toPhone}
          </ButtonLink>
          {simulation.isAvailable && (
            <Button
              look="primary"
              icon="play"
              disabled={simulation.isBusy}
              onClick={simulation.play}
            >
              {t.phone.welcome.play}
            </Button>
          )}
        </div>
      }
    >
      {list.noneYetHint}
    </Empty>
  );
}
