/** Icons, drawn on a grid of 24 units with lines of 1.75. */

const PATHS = {
  phone:
    'M6 4h3l1.5 4.5-2 1.5a11 11 0 0 0 5.5 5.5l1.5-2L20 15v3a2 2 0 0 1-2 2A14 14 0 0 1 4 6a2 2 0 0 1 2-2Z',
  hangUp: 'M3 15v-2.5C5 9 8.500 8 12 8s7 1 9 4.500V15h-5v-3a13 13 0 0 0-8 0v3Z',
  calls: 'M12 7v5l3.500 2M4 12a8 8 0 1 0 2.500-5.800M4 4v3.500h3.500',
  settings: 'M4 7h9M17 7h3M4 17h3M11 17h9M15 4.800v4.400M9 14.800v4.400',
  mic: 'M12 4a2.500 2.500 0 0 0-2.500 2.500v5a2.500 2.500 0 0 0 5 0v-5A2.500 2.500 0 0 0 12 4ZM6 11.500a6 6 0 0 0 12 0M12 17.500V21',
  micOff:
    'M9.500 9.500v2a2.500 2.500 0 0 0 4 2M14.500 11V6.500a2.500 2.500 0 0 0-4.700-1.200M6 11.500a6 6 0 0 0 9 5.200M18 11.500a6 6 0 0 1-.4 2.100M12 17.500V21M4 4l16 16',
  keypad: 'M6 6h.01M12 6h.01M18 6h.01M6 12h.01M12 12h.01M18 12h.01M6 18h.01M12 18h.01M18 18h.01',
  record: 'M12 7a5 5 0 1 0 0 10 5 5 0 0 0 0-10Z',
  pause: 'M9 6v12M15 6v12',
  play: 'M8 5.500v13l10.500-6.500Z',
  stop: 'M7 7h10v10H7Z',
  speaker: 'M4 10v4h3l5 4V6L7 10H4ZM15.500 9a4.200 4.200 0 0 1 0 6M18 6.500a7.800 7.800 0 0 1 0 11',
  bell: 'M6 16V11a6 6 0 0 1 12 0v5l1.500 2h-15ZM10 20.500h4',
  search: 'M10.500 5a5.500 5.500 0 1 0 0 11 5.500 5.500 0 0 0 0-11ZM15 15l5 5',
  close: 'M6 6l12 12M18 6 6 18',
  back: 'M20 12H5M11 6l-6 6 6 6',
  down: 'M12 5v14M6 13l6 6 6-6',
  incoming: 'M18 6 7 17M7 9v8h8',
  outgoing: 'M6 18 17 7M9 7h8v8',
  copy: 'M9 9h10v10H9ZM15 9V5H5v10h4',
  download: 'M12 4v11M7 11l5 5 5-5M5 20h14',
  trash: 'M5 7h14M10 7V4.500h4V7M7 7l1 12.500h8L17 7M10.500 11v5M13.500 11v5',
  user: 'M12 5a3.500 3.500 0 1 0 0 7 3.500 3.500 0 0 0 0-7ZM5 20a7 7 0 0 1 14 0',
  signOut: 'M10 5H5v14h5M14 8l4 4-4 4M18 12H9',
  warning: 'M12 4.500 3 19.500h18ZM12 10v4.500M12 17v.01',
  info: 'M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16ZM12 11v5M12 8v.01',
  check: 'M5 12.500l5 5L19 7',
  backspace: 'M9 6h11v12H9l-5-6ZM12 9.500l5 5M17 9.500l-5 5',
  signal: 'M5 19v-4M10 19v-8M15 19V8M20 19V5',
  text: 'M5 7h14M5 12h14M5 17h9',
  note: 'M6 4h9l4 4v12H6ZM9 12h6M9 16h6',
  tag: 'M4 5h8l8 8-7 7-8-8ZM8.500 8.500v.01',
  more: 'M6 12h.01M12 12h.01M18 12h.01',
  keyboard: 'M3 7h18v10H3ZM7 11h.01M11 11h.01M15 11h.01M8 14h8',
  voicemail:
    'M7 9a3.500 3.500 0 1 0 0 7 3.500 3.500 0 0 0 0-7ZM17 9a3.500 3.500 0 1 0 0 7 3.500 3.500 0 0 0 0-7ZM7 16h10',
  flag: 'M6 21V4M6 5h12l-3 4 3 4H6',
  plus: 'M12 5v14M5 12h14',
} as const;

export type IconName = keyof typeof PATHS;

/** A decorative icon: the element around it provides the accessible name. */
export function Icon({ name, size = 20 }: { name: IconName; size?: number }) {
  const dotted = name === 'keypad' || name === 'more' || name === 'keyboard';
  return (
    <svg
      aria-hidden="true"
      width={size}
      height={size}
      viewBox="0 0 24 24"
      fill={name === 'play' || name === 'stop' || name === 'record' ? 'currentColor' : 'none'}
      stroke="currentColor"
      strokeWidth={dotted ? 2.25 : 1.75}
      strokeLinecap="round"
      strokeLinejoin="round"
    >
      <path d={PATHS[name]} />
    </svg>
  );
}
