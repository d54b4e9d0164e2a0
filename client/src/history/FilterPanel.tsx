/** The filters of the call list. */
import type { CallStatus, Direction } from '../api/types';
import { outcomeOf } from '../callRecord/outcome';
import { t } from '../strings';
import { Field, Select } from '../ui/controls';
import css from './FilterPanel.module.css';
import { type Filters, OUTCOMES, TEXT_MAX } from './filters';
import { useDebouncedText } from './useDebouncedText';

const { list, direction } = t.calls;

/** The value of a filter that is off. */
const ANY = '';

const any = { value: ANY, label: list.any };

interface FilterProps {
  filters: Filters;
  onChange: (change: Partial<Filters>) => void;
}

export function FilterPanel({ filters, onChange }: FilterProps) {
  return (
    <div className={css.panel}>
      <DirectionFilter filters={filters} onChange={onChange} />
      <OutcomeFilter filters={filters} onChange={onChange} />
      <AudioFilter filters={filters} onChange={onChange} />
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

const DirectionFilter = ({ filters, onChange }: FilterProps) => (
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
);

/** The label of a status, as the rows show it for an outgoing call. */
const labelOf = (status: CallStatus) =>
  t.calls.outcome[outcomeOf({ direction: 'outgoing', status, endCause: null })];

const OutcomeFilter = ({ filters, onChange }: FilterProps) => (
  <Select
    label={list.outcome}
    value={filters.status ?? ANY}
    options={[any, ...OUTCOMES.map((status) => ({ value: status, label: labelOf(status) }))]}
    onChange={(value) => onChange({ status: OUTCOMES.find((status) => status === value) ?? null })}
  />
);

const AudioFilter = ({ filters, onChange }: FilterProps) => (
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
);

function TextFilter({
  label,
  value,
  onChange,
}: {
  label: string;
  value: string;
  onChange: (value: string) => void;
}) {
  const { text, setText, commit } = useDebouncedText(value, onChange);
  return (
    <Field
      label={label}
      value={text}
      maxLength={TEXT_MAX}
      autoComplete="off"
      onChange={(event) => setText(event.target.value)}
      onKeyDown={(event) => {
        if (event.key === 'Enter') commit(text);
      }}
    />
  );
}
