import { type FormEvent, useState } from 'react';
import { KEYWORD_LENGTH_MAX, KEYWORDS_MAX } from '../preferences/parse';
import { setPreference, usePreference } from '../preferences/preferences';
import { t } from '../strings';
import { Button, Field } from '../ui/controls';
import { Icon } from '../ui/icons';
import { Section } from './Section';
import css from './settings.module.css';

const words = t.settings.keywords;

/** The keywords that transcripts highlight. */
export function Keywords() {
  const keywords = usePreference('keywords');
  const [typed, setTyped] = useState('');
  const [problem, setProblem] = useState<string>();
  const add = (event: FormEvent) => {
    event.preventDefault();
    const keyword = typed.trim();
    if (keyword === '') return;
    const found = problemOf(keyword, keywords);
    setProblem(found);
    if (found) return;
    setPreference('keywords', [...keywords, keyword]);
    setTyped('');
  };
  return (
    <Section id="keywords" title={words.title} hint={words.hint}>
      {keywords.length === 0 ? (
        <p className={css.hint}>{words.none}</p>
      ) : (
        <ul className={css.tags}>
          {keywords.map((keyword) => (
            <li key={keyword} className={css.tag}>
              <span>{keyword}</span>
              <button
                type="button"
                aria-label={words.remove(keyword)}
                onClick={() =>
                  setPreference(
                    'keywords',
                    keywords.filter((other) => other !== keyword),
                  )
                }
              >
                <Icon name="close" size={16} />
              </button>
            </li>
          ))}
        </ul>
      )}
      <form className={css.inline} onSubmit={add}>
        <Field
          label={words.add}
          value={typed}
          error={problem}
          autoComplete="off"
          onChange={(event) => {
            setTyped(event.target.value);
            setProblem(undefined);
          }}
        />
        <Button type="submit">{words.addAction}</Button>
      </form>
    </Section>
  );
}

function problemOf(keyword: string, keywords: readonly string[]): string | undefined {
  const folded = keyword.toLocaleLowerCase();
  if (keywords.some((other) => other.toLocaleLowerCase() === folded)) return words.twice;
  if (keyword.length > KEYWORD_LENGTH_MAX) return words.tooLong(KEYWORD_LENGTH_MAX);
  if (keywords.length >= KEYWORDS_MAX) return words.tooMany(KEYWORDS_MAX);
  return undefined;
}
