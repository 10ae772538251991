import { Suspense, useEffect, useMemo, useRef, useState } from "react";
import { Link, NavLink, Outlet, useLocation, useNavigate } from "react-router";
import { useLiveState } from "../api/live";
import icon from "../icon.svg";
import { applyTheme, storedTheme, type Theme } from "../lib/theme";
import { Dialog } from "../ui/dialog";
import { ErrorBoundary } from "../ui/failure";
import { Icon } from "../ui/icons";
import { Button, Skeleton } from "../ui/parts";
import { Toasts } from "../ui/toasts";
import { useKeys } from "./keys";
import { type Command, Palette } from "./palette";
import { navGroups, pages } from "./pages";

const entries = pages.flatMap((page) => (page.nav ? [page.nav] : []));
const liveWords = { open: "Live", connecting: "Connecting", waiting: "Reconnecting", closed: "Not live" } as const;
const isMac = /Mac|iPhone|iPad/.test(navigator.userAgent);
const modKey = isMac ? "⌘" : "Ctrl";

export function Shell() {
  const [menu, setMenu] = useState(false);
  const [over, setOver] = useState<"palette" | "keys" | null>(null);
  const [theme, setTheme] = useState<Theme>(storedTheme);
  const main = useRef<HTMLElement>(null);
  const navigate = useNavigate();
  const { pathname } = useLocation();
  const liveState = useLiveState();
  const before = useRef(pathname);

  useEffect(() => applyTheme(theme), [theme]);
  useEffect(() => {
    if (before.current === pathname) return;
    before.current = pathname;
    setMenu(false);
    // A new page begins at its beginning, for the eyes and for the keyboard.
    main.current?.focus({ preventScroll: true });
    window.scrollTo(0, 0);
  }, [pathname]);

  const commands = useMemo<Command[]>(
    () => [
      ...entries.map((entry) => ({
        id: entry.label.toLowerCase().replace(/\W+/g, "-"),
        label: entry.label,
        group: "Page",
        run: () => void navigate(entry.to),
        ...(entry.keys ? { keys: entry.keys } : {}),
        ...(entry.words ? { words: entry.words } : {}),
      })),
      { id: "theme-light", label: "Light theme", group: "Look", run: () => setTheme("light") },
      { id: "theme-dark", label: "Dark theme", group: "Look", run: () => setTheme("dark") },
      { id: "theme-system", label: "Theme of the system", group: "Look", run: () => setTheme("system") },
      { id: "keys", label: "Keyboard shortcuts", group: "Help", keys: "?", run: () => setOver("keys") },
    ],
    [navigate],
  );
  const bindings = useMemo(
    () => ({
      "mod+k": () => setOver((now) => (now === "palette" ? null : "palette")),
      "?": () => setOver("keys"),
      ...Object.fromEntries(commands.filter((one) => one.keys && one.id !== "keys").map((one) => [one.keys, one.run])),
    }),
    [commands],
  );
  useKeys(bindings);

  return (
    <>
      <a className="skip" href="#main">
        Skip to the page
      </a>
      <div className="shell">
        <div className="bar">
          <Link className="nav__brand" to="/">
            <img src={icon} alt="" />
            Bash Gym
          </Link>
          <Button kind="plain" aria-label="Search" onClick={() => setOver("palette")}>
            <Icon name="search" />
          </Button>
          <Button
            kind="plain"
            aria-label="Menu"
            aria-expanded={menu}
            aria-controls="nav"
            onClick={() => setMenu(!menu)}
          >
            <Icon name={menu ? "close" : "menu"} />
          </Button>
        </div>
        <nav className="nav" id="nav" data-open={menu} aria-label="Pages">
          <Link className="nav__brand" to="/">
            <img src={icon} alt="" />
            Bash Gym
          </Link>
          <Button onClick={() => setOver("palette")}>
            <Icon name="search" />
            <span>Search</span> <kbd>{modKey} K</kbd>
          </Button>
          {navGroups.map((group) => {
            const links = entries.filter((entry) => entry.group === group);
            return links.length === 0 ? null : (
              <div className="nav__group" key={group} role="group" aria-label={group}>
                <span className="nav__title" aria-hidden="true">
                  {group}
                </span>
                {links.map((entry) => (
                  <NavLink key={entry.to} className="nav__link" to={entry.to} end={entry.to === "/"}>
                    <Icon name={entry.icon} />
                    {entry.label}
                  </NavLink>
                ))}
              </div>
            );
          })}
          <div className="nav__foot">
            <span className="live" role="status">
              <span className="live__dot" data-state={liveState} aria-hidden="true" />
              {liveWords[liveState]}
            </span>
            <label className="field">
              <span className="sr">Theme</span>
              <select className="input" value={theme} onChange={(event) => setTheme(event.target.value as Theme)}>
                <option value="system">Theme: system</option>
                <option value="light">Theme: light</option>
                <option value="dark">Theme: dark</option>
              </select>
            </label>
            <Button kind="plain" onClick={() => setOver("keys")}>
              <Icon name="keyboard" /> Shortcuts
            </Button>
          </div>
        </nav>
        <main className="main" id="main" ref={main} tabIndex={-1}>
          <ErrorBoundary resetKey={pathname}>
            <Suspense fallback={<PageSkeleton />}>
              <Outlet />
            </Suspense>
          </ErrorBoundary>
        </main>
      </div>
      <Palette open={over === "palette"} close={() => setOver(null)} commands={commands} />
      <Dialog title="Keyboard shortcuts" open={over === "keys"} close={() => setOver(null)}>
        <div className="dialog__body">
          <h2>Keyboard shortcuts</h2>
          <dl className="facts">
            <Shortcut keys={`${modKey} K`} what="Search commands and pages" />
            <Shortcut keys="?" what="This list" />
            <Shortcut keys="Esc" what="Close what is open" />
            {commands
              .filter((one) => one.keys && one.id !== "keys")
              .map((one) => (
                <Shortcut key={one.id} keys={one.keys ?? ""} what={one.label} />
              ))}
          </dl>
          <div className="dialog__foot">
            <Button onClick={() => setOver(null)}>Close</Button>
          </div>
        </div>
      </Dialog>
      <Toasts />
    </>
  );
}

const Shortcut = ({ keys, what }: { keys: string; what: string }) => (
  <>
    <dt>
      <kbd>{keys}</kbd>
    </dt>
    <dd>{what}</dd>
  </>
);

const PageSkeleton = () => (
  <div role="status" aria-label="Loading the page">
    <Skeleton lines={6} />
  </div>
);
