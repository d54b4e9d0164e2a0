import { useId } from 'react';
import css from './controls.module.css';

/** A switch that takes effect at once. */
export function Switch({
  label,
  hint,
  checked,
  onChange,
}: {
  label: string;
  hint?: string;
  checked: boolean;
  onChange: (checked: boolean) => void;
}) {
  const id = useId();
  return (
    <div className={css.switch}>
      <div>
        <label className={css.label} htmlFor={id}>
          {label}
        </label>
        {hint && (
          <p className={css.hint} id={`${id}-about`}>
            {hint}
          </p>
        )}
      </div>
      <input
        id={id}
        type="checkbox"
        role="switch"
        aria-checked={checked}
        checked={checked}
        aria-describedby={hint ? `${id}-about` : undefined}
        onChange={(event) => onChange(event.target.checked)}
      />
    </div>
  );
}
