/** Icons of 24 by 24, drawn as lines. They say nothing to a screen reader: the words beside them do. */
const shapes = {
  home: "M4 11l8-7 8 7v8a1 1 0 0 1-1 1h-4v-6H9v6H5a1 1 0 0 1-1-1z",
  account: "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4 20c1-4 4-6 8-6s7 2 8 6",
  train: "M4 9v6M7 6v12M17 6v12M20 9v6M7 12h10",
  jobs: "M4 5h16v14H4zM8 10l3 2-3 3M13 15h4",
  spaces: "M4 4h7v7H4zM13 4h7v7h-7zM4 13h7v7H4zM13 13h7v7h-7z",
  datasets:
    "M4 6c0-1.500 3.600-2.500 8-2.500s8 1 8 2.500-3.600 2.500-8 2.500S4 7.500 4 6zM4 6v12c0 1.500 3.600 2.500 8 2.500s8-1 8-2.500V6M4 12c0 1.500 3.600 2.500 8 2.500s8-1 8-2.500",
  sessions: "M4 5h16v11H9l-5 4zM8 9h8M8 12h5",
  runs: "M5 19V5M5 12h6a4 4 0 0 0 4-4V6M12 9l3-3 3 3M5 19h14",
  router: "M4 12h5M9 12c4 0 3-6 8-6h3M9 12c4 0 3 6 8 6h3M17 3l3 3-3 3M17 15l3 3-3 3",
  usage: "M4 20V10M10 20V4M16 20v-7M21 20H3",
  activity: "M3 12h4l3-8 4 16 3-8h4",
  settings: "M4 7h10M18 7h2M4 17h2M10 17h10M16 5v4M8 15v4",
  menu: "M4 7h16M4 12h16M4 17h16",
  close: "M6 6l12 12M18 6L6 18",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  search: "M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM16 16l5 5",
  down: "M12 4v14M6 13l6 6 6-6",
  up: "M12 20V6M6 11l6-6 6 6",
  external: "M14 4h6v6M20 4l-9 9M18 14v6H4V6h6",
  check: "M5 12l5 5L20 7",
  keyboard: "M3 6h18v12H3zM7 10h0M11 10h0M15 10h0M8 14h8",
} as const;

export type IconName = keyof typeof shapes;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg
      viewBox="0 0 24 24"
      width="18"
      height="18"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.75"
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
      focusable="false"
    >
      <path d={shapes[name]} />
    </svg>
  );
}
