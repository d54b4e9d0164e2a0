/** Looks for words in this transcript, beside the browser's own search. */
import { type Ref, useId } from 'react';
import { t } from '../strings';
import { HiddenText, IconButton } from '../ui/controls';
import { Icon } from '../ui/icons';
import css from './FindBar.module.css';

/** More than anybody types. */
const QUERY_MAX = 100;

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
  /** The place among those that were found. */
  current: number;
  count: number;
  onStep: (by: 1 | -1) => void;
  field: Ref<HTMLInputElement>;
}) {
  const strings = t.calls.transcript;
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
          <IconButton
            className={css.up}
            icon="down"
            label={strings.previous}
            disabled={count === 0}
            onClick={() => onStep(-1)}
          />
          <IconButton
            icon="down"
            label={strings.next}
            disabled={count === 0}
            onClick={() => onStep(1)}
          />
          <IconButton icon="close" label={strings.clear} onClick={() => onQuery('')} />
        </>
      )}
    </search>
  );
}
