/** The field that looks through all calls, and the way to the filters. */
import { type Ref, useId } from 'react';
import { t } from '../strings';
import { Button, HiddenText, IconButton, Kbd } from '../ui/controls';
import { Icon } from '../ui/icons';
import { TEXT_MAX } from './filters';
import css from './SearchBar.module.css';
import { useDraft } from './useDraft';

export function SearchBar({
  value,
  onChange,
  filterCount,
  isOpen,
  onToggle,
  panelId,
  field,
}: {
  value: string;
  onChange: (value: string) => void;
  filterCount: number;
  /** Whether the filters are shown. */
  isOpen: boolean;
  onToggle: () => void;
  panelId: string;
  field: Ref<HTMLInputElement>;
}) {
  const { list } = t.calls;
  const { draft, setDraft, set } = useDraft(value, onChange);
  const id = useId();
  return (
    <search className={css.bar}>
      <div className={css.field}>
        <Icon name="search" />
        <label htmlFor={id}>
          <HiddenText>{list.search}</HiddenText>
        </label>
        <input
          id={id}
          ref={field}
          type="search"
          value={draft}
          maxLength={TEXT_MAX}
          placeholder={list.searchHint}
          autoComplete="off"
          aria-keyshortcuts="/"
          onChange={(event) => setDraft(event.target.value)}
          onKeyDown={(event) => {
            if (event.key === 'Enter') set(draft);
            if (event.key === 'Escape' && draft) {
              event.preventDefault();
              set('');
            }
          }}
        />
        {draft ? (
          <IconButton icon="close" label={list.clearSearch} onClick={() => set('')} />
        ) : (
          <span className={css.key} aria-hidden="true">
            <Kbd>/</Kbd>
          </span>
        )}
      </div>
      <Button aria-expanded={isOpen} aria-controls={panelId} onClick={onToggle}>
        {list.filters}
        {filterCount > 0 && (
          <span className={css.count}>
            <span aria-hidden="true">{filterCount}</span>
            <HiddenText>{list.filtersOn(filterCount)}</HiddenText>
          </span>
        )}
      </Button>
    </search>
  );
}
