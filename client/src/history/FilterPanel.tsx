/** What narrows the list, beside words. */
import type { CallStatus, Direction } from '../api/types';
import { t } from '../strings';
import { Field, Select } from '../ui/controls';
import css from './FilterPanel.module.css';
import { type Filters, OUTCOMES, TEXT_MAX } from './filters';
import { outcomeOf } from './outcome';
import { useDraft } from './useDraft';

/** A choice that is off. */
const ANY = '';

export function FilterPanel({
  filters,
  onChange,
}: {
  filters: Filters;
  onChange: (change: Partial<Filters>) => void;
}) {
  const { list, direction } = t.calls;
  const any = { value: ANY, label: list.any };
  return (
    <div className={css.panel}>
      <Select
        label={list.direction}
        value={filters.direction ?? ANY}
        options={[
          any,
          { value: 'outgoing', label: direction.outgoing },
          { value: 'incoming', label: direction.incoming },
        ]}
        onChange={(value) => onChange({ direction: DIRECTIONS[value] ?? null })}
      />
      <Select
        label={list.outcome}
        value={filters.status ?? ANY}
        options={[any, ...OUTCOMES.map((status) => ({ value: status, label: wordOf(status) }))]}
        onChange={(value) =>
          onChange({ status: OUTCOMES.find((status) => status === value) ?? null })
        }
      />
      <Select
        label={list.recorded}
        value={filters.recorded === null ? ANY : filters.recorded ? 'yes' : 'no'}
        options={[
          any,
          { value: 'yes', label: list.withSound },
          { value: 'no', label: list.withoutSound },
        ]}
        onChange={(value) => onChange({ recorded: value === ANY ? null : value === 'yes' })}
      />
      <Field
        label={list.since}
        type="date"
        value={filters.since}
        max={filters.until || undefined}
        onChange={(event) => onChange({ since: event.target.value })}
      />
      <Field
        label={list.until}
        type="date"
        value={filters.until}
        min={filters.since || undefined}
        onChange={(event) => onChange({ until: event.target.value })}
      />
      <TextFilter
        label={list.number}
        value={filters.number}
        onChange={(number) => onChange({ number })}
      />
      <TextFilter
        label={list.label}
        value={filters.label}
        onChange={(label) => onChange({ label })}
      />
    </div>
  );
}

const DIRECTIONS: Readonly<Record<string, Direction>> = {
  outgoing: 'outgoing',
  incoming: 'incoming',
};

/** A status in the words of the rows, where the caller matters not. */
const wordOf = (status: CallStatus) =>
  t.calls.outcome[outcomeOf({ direction: 'outgoing', status, endCause: null })];

function TextFilter({
  label,
  value,
  onChange,
}: {
  label: string;
  value: string;
  onChange: (value: string) => void;
}) {
  const { draft, setDraft, set } = useDraft(value, onChange);
  return (
    <Field
      label={label}
      value={draft}
      maxLength={TEXT_MAX}
      autoComplete="off"
      onChange={(event) => setDraft(event.target.value)}
      onKeyDown={(event) => {
        if (event.key === 'Enter') set(draft);
      }}
    />
  );
}
