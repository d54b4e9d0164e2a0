/** The search within one transcript. */
import { type Ref, useId } from 'react';
import { t } from '../strings';
import { HiddenText, IconButton } from '../ui/controls';
import { Icon } from '../ui/icons';
import css from './FindBar.module.css';

/** Maximum characters of a query. */
const QUERY_MAX = 100;

const strings = t.calls.transcript;

export function FindBar({
  query,
  onQuery,
  current,
  count,
  onStep,
  field,
}: {
  query: string;
  onQuery: (query: string) => void;
  /** The index of the current match. */
  current: number;
  count: number;
  onStep: (by: 1 | -1) => void;
  field: Ref<HTMLInputElement>;
}) {
  const id = useId();
  return (
    <search className={css.bar}>
      <Icon name="search" size={16} />
      <label htmlFor={id}>
        <HiddenText>{strings.find}</HiddenText>
      </label>
      <input
        id={id}
        ref={field}
        value={query}
        maxLength={QUERY_MAX}
        placeholder={strings.find}
        title={strings.findHint}
        autoComplete="off"
        aria-keyshortcuts="/"
        onChange={(event) => onQuery(event.target.value)}
        onKeyDown={(event) => {
          if (event.key === 'Enter') onStep(event.shiftKey ? -1 : 1);
          if (event.key === 'Escape') onQuery('');
        }}
      />
      <span className={css.count} role="status">
        {query.trim() && (count > 0 ? strings.found(current + 1, count) : strings.notFound)}
      </span>
      {query && (
        <>
          <StepButtons isDisabled={count === 0} onStep={onStep} />
          <IconButton icon="close" label={strings.clear} onClick={() => onQuery('')} />
        </>
      )}
    </search>
  );
}

function StepButtons({
  isDisabled,
  onStep,
}: {
  isDisabled: boolean;
  onStep: (by: 1 | -1) => void;
}) {
  return (
    <>
      <IconButton
        className={css.up}
        icon="down"
        label={strings.previous}
        disabled={isDisabled}
        onClick={() => onStep(-1)}
      />
      <IconButton
        icon="down"
        label={strings.next}
        disabled={isDisabled}
        onClick={() => onStep(1)}
      />
    </>
  );
}
