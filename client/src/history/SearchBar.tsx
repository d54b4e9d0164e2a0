/** The search field for all calls, and the button that shows the filters. */
import { type Ref, useId } from 'react';
import { t } from '../strings';
import { Button, HiddenText, IconButton, Kbd } from '../ui/controls';
import { Icon } from '../ui/icons';
import { TEXT_MAX } from './filters';
import css from './SearchBar.module.css';
import { useDebouncedText } from './useDebouncedText';

const strings = t.calls.list;

interface SearchFieldProps {
  value: string;
  onChange: (value: string) => void;
  field: Ref<HTMLInputElement>;
}

export function SearchBar({
  filterCount,
  isOpen,
  onToggle,
  panelId,
  ...search
}: SearchFieldProps & {
  filterCount: number;
  /** The filters are shown. */
  isOpen: boolean;
  onToggle: () => void;
  panelId: string;
}) {
  return (
    <search className={css.bar}>
      <SearchField {...search} />
      <Button aria-expanded={isOpen} aria-controls={panelId} onClick={onToggle}>
        {strings.filters}
        {filterCount > 0 && (
          <span className={css.count}>
            <span aria-hidden="true">{filterCount}</span>
            <HiddenText>{strings.filtersOn(filterCount)}</HiddenText>
          </span>
        )}
      </Button>
    </search>
  );
}

function SearchField({ value, onChange, field }: SearchFieldProps) {
  const { text, setText, commit } = useDebouncedText(value, onChange);
  const id = useId();
  return (
    <div className={css.field}>
      <Icon name="search" />
      <label htmlFor={id}>
        <HiddenText>{strings.search}</HiddenText>
      </label>
      <input
        id={id}
        ref={field}
        type="search"
        value={text}
        maxLength={TEXT_MAX}
        placeholder={strings.searchHint}
        autoComplete="off"
        aria-keyshortcuts="/"
        onChange={(event) => setText(event.target.value)}
        onKeyDown={(event) => {
          if (event.key === 'Enter') commit(text);
          if (event.key === 'Escape' && text) {
            event.preventDefault();
            commit('');
          }
        }}
      />
      {text ? (
        <IconButton icon="close" label={strings.clearSearch} onClick={() => commit('')} />
      ) : (
        <span className={css.key} aria-hidden="true">
          <Kbd>/</Kbd>
        </span>
      )}
    </div>
  );
}
