/** The labels of a call. Changes show when the server has confirmed them. */
import { useMutation } from '@tanstack/react-query';
import { type FormEvent, useState } from 'react';
import { Link } from 'wouter';
import { messageOf } from '../api/client';
import { editCall } from '../callRecord/edits';
import { t } from '../strings';
import { Button, Field, IconButton } from '../ui/controls';
import details from '../ui/details.module.css';
import css from './Details.module.css';
import { NO_FILTERS, writeFilters } from './filters';
import { addLabel } from './labelLimits';

export function Labels({ sid, labels }: { sid: string; labels: readonly string[] }) {
  const strings = t.calls.labels;
  const [typed, setTyped] = useState('');
  const [problem, setProblem] = useState('');
  const edit = useMutation({
    mutationFn: (labels: string[]) => editCall(sid, { labels }),
    onError: (error) => setProblem(messageOf(error)),
  });
  const add = (event: FormEvent) => {
    event.preventDefault();
    const next = addLabel(labels, typed);
    if (typeof next === 'string') setProblem(strings[next]);
    else if (next) edit.mutate(next, { onSuccess: () => setTyped('') });
  };
  return (
    <section className={details.section}>
      <h2>{strings.title}</h2>
      {labels.length > 0 && (
        <ul className={css.labels}>
          {labels.map((label) => (
            <li key={label} className={css.label}>
              <Link href={`/calls${writeFilters({ ...NO_FILTERS, label })}`}>{label}</Link>
              <IconButton
                icon="close"
                label={strings.remove(label)}
                disabled={edit.isPending}
                onClick={() => edit.mutate(labels.filter((other) => other !== label))}
              />
            </li>
          ))}
        </ul>
      )}
      <form className={css.add} onSubmit={add}>
        <Field
          label={strings.add}
          value={typed}
          error={problem || undefined}
          autoComplete="off"
          onChange={(event) => {
            setTyped(event.target.value);
            setProblem('');
          }}
        />
        <Button type="submit" disabled={edit.isPending || !typed.trim()}>
          {strings.addDo}
        </Button>
      </form>
    </section>
  );
}
