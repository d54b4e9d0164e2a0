/** The basic controls. They know nothing of calls. */
import {
  type ButtonHTMLAttributes,
  type InputHTMLAttributes,
  type ReactNode,
  type Ref,
  useId,
} from 'react';
import { t } from '../strings';
import css from './controls.module.css';
import { Icon, type IconName } from './icons';

type Look = 'primary' | 'plain' | 'quiet' | 'danger';
type Tone = 'plain' | 'accent' | 'warn' | 'danger';

/** Marks the element of a dialog that gets the focus first. */
interface FocusFirst {
  'data-first'?: boolean | undefined;
}

interface ButtonProps extends ButtonHTMLAttributes<HTMLButtonElement>, FocusFirst {
  look?: Look;
  size?: 'normal' | 'large';
  icon?: IconName;
  ref?: Ref<HTMLButtonElement>;
}

export function Button({
  look = 'plain',
  size = 'normal',
  icon,
  children,
  className,
  ...rest
}: ButtonProps) {
  return (
    <button
      type="button"
      className={`${css.button} ${className ?? ''}`}
      data-look={look}
      data-size={size}
      {...rest}
    >
      {icon && <Icon name={icon} />}
      {children}
    </button>
  );
}

interface IconButtonProps extends Omit<ButtonProps, 'children' | 'icon' | 'size'> {
  icon: IconName;
  /** The accessible name, also shown as a tooltip. */
  label: string;
}

/** A round button that shows only an icon. */
export function IconButton({ icon, label, look = 'quiet', className, ...rest }: IconButtonProps) {
  return (
    <button
      type="button"
      className={`${css.button} ${css.icon} ${className ?? ''}`}
      data-look={look}
      aria-label={label}
      title={label}
      {...rest}
    >
      <Icon name={icon} />
    </button>
  );
}

interface FieldProps extends InputHTMLAttributes<HTMLInputElement>, FocusFirst {
  label: string;
  hint?: ReactNode;
  /** The problem, and what to do. */
  error?: string | undefined;
  ref?: Ref<HTMLInputElement>;
}

/** A text field with a label, a hint and an error. */
export function Field({ label, hint, error, className, ...rest }: FieldProps) {
  const id = useId();
  return (
    <div className={css.field}>
      <label className={css.label} htmlFor={id}>
        {label}
      </label>
      <input
        id={id}
        className={`${css.input} ${className ?? ''}`}
        aria-invalid={error ? true : undefined}
        aria-describedby={hint || error ? `${id}-about` : undefined}
        {...rest}
      />
      <div id={`${id}-about`}>
        {error ? (
          <p className={css.error} role="alert">
            {error}
          </p>
        ) : (
          hint && <p className={css.hint}>{hint}</p>
        )}
      </div>
    </div>
  );
}

/** A choice from a list. */
export function Select({
  label,
  isLabelHidden = false,
  value,
  options,
  onChange,
  hint,
  disabled,
}: {
  label: string;
  /** The visible context makes a label unnecessary; screen readers still get it. */
  isLabelHidden?: boolean;
  value: string;
  options: readonly { value: string; label: string }[];
  onChange: (value: string) => void;
  hint?: string;
  disabled?: boolean;
}) {
  const id = useId();
  return (
    <div className={css.field}>
      <label className={isLabelHidden ? css.hiddenText : css.label} htmlFor={id}>
        {label}
      </label>
      <select
        id={id}
        className={css.input}
        value={value}
        disabled={disabled}
        onChange={(event) => onChange(event.target.value)}
      >
        {options.map((option) => (
          <option key={option.value} value={option.value}>
            {option.label}
          </option>
        ))}
      </select>
      {hint && <p className={css.hint}>{hint}</p>}
    </div>
  );
}

/** A choice of two or three visible options. */
export function Segmented<T extends string>({
  label,
  value,
  options,
  onChange,
}: {
  label: string;
  value: T;
  options: readonly { value: T; label: string }[];
  onChange: (value: T) => void;
}) {
  const name = useId();
  return (
    <fieldset className={css.segmented} aria-label={label}>
      {options.map((option) => (
        <label key={option.value}>
          <input
            type="radio"
            name={name}
            checked={option.value === value}
            onChange={() => onChange(option.value)}
          />
          {option.label}
        </label>
      ))}
    </fieldset>
  );
}

export function Chip({ tone = 'plain', children }: { tone?: Tone; children: ReactNode }) {
  return (
    <span className={css.chip} data-tone={tone}>
      {children}
    </span>
  );
}

/** A bar across the page that shows a state while it lasts. */
export function Banner({
  tone = 'plain',
  icon = 'info',
  children,
  action,
}: {
  tone?: Tone;
  icon?: IconName;
  children: ReactNode;
  action?: ReactNode;
}) {
  return (
    <div className={css.banner} data-tone={tone} role="status">
      <Icon name={icon} />
      <span className={css.bannerText}>{children}</span>
      {action}
    </div>
  );
}

/** A placeholder for missing content: the reason, and what to do. */
export function Empty({
  title,
  children,
  action,
}: {
  title: string;
  children?: ReactNode;
  action?: ReactNode;
}) {
  return (
    <div className={css.empty}>
      <h2>{title}</h2>
      {children && <p>{children}</p>}
      {action && <div className={css.emptyActions}>{action}</div>}
    </div>
  );
}

export function Spinner({ label }: { label: string }) {
  return (
    <div role="status">
      <div className={css.spinner} />
      <HiddenText>{label}</HiddenText>
    </div>
  );
}

/** A spinner that appears after a short delay, since most screens load faster. */
export const Loading = () => (
  <div className={css.loading}>
    <Spinner label={t.ui.loading} />
  </div>
);

export const Kbd = ({ children }: { children: ReactNode }) => (
  <kbd className={css.kbd}>{children}</kbd>
);

/** Text for screen readers only. */
export const HiddenText = ({ children }: { children: ReactNode }) => (
  <span className={css.hiddenText}>{children}</span>
);

/** A bar that shows a level from 0 to 1. */
export function Meter({ label, value }: { label: string; value: number }) {
  const level = Math.min(1, Math.max(0, value));
  return (
    // biome-ignore lint/a11y/useSemanticElements: each browser draws a <meter> differently
    <div
      className={css.meter}
      role="meter"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={1}
      aria-valuenow={Number(level.toFixed(2))}
    >
      <span style={{ transform: `scaleX(${level})` }} />
    </div>
  );
}
