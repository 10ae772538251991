import { useId, useMemo, useState } from "react";
import { Dialog } from "../ui/dialog";

export type Command = { id: string; label: string; group: string; keys?: string; words?: string; run: () => void };

/** Whether a text has all letters of what is looked for, in order; a smaller number fits better. */
export function fits(text: string, wanted: string): number | null {
  const within = text.toLowerCase();
  const direct = within.indexOf(wanted);
  if (direct >= 0) return direct;
  let at = -1;
  let cost = 100;
  for (const letter of wanted) {
    const next = within.indexOf(letter, at + 1);
    if (next < 0) return null;
    cost += next - at - 1;
    at = next;
  }
  return cost;
}

export function Palette({ open, close, commands }: { open: boolean; close: () => void; commands: readonly Command[] }) {
  return (
    <Dialog title="Commands" open={open} close={close} className="palette">
      <PaletteBody close={close} commands={commands} />
    </Dialog>
  );
}

function PaletteBody({ close, commands }: { close: () => void; commands: readonly Command[] }) {
  const [text, setText] = useState("");
  const [chosen, setChosen] = useState(0);
  const id = useId();
  const found = useMemo(() => {
    const wanted = text.trim().toLowerCase();
    if (!wanted) return commands;
    return commands
      .map((command) => ({ command, cost: fits(`${command.label} ${command.words ?? ""}`, wanted) }))
      .filter((one): one is { command: Command; cost: number } => one.cost !== null)
      .sort((a, b) => a.cost - b.cost)
      .map((one) => one.command);
  }, [text, commands]);
  const at = Math.min(chosen, Math.max(0, found.length - 1));
  const run = (command: Command | undefined) => {
    if (!command) return;
    close();
    command.run();
  };
  return (
    <>
      <input
        className="palette__input"
        aria-label="Search commands and pages"
        placeholder="Search commands and pages"
        role="combobox"
        aria-expanded="true"
        aria-controls={id}
        aria-activedescendant={found[at] ? `${id}-${found[at].id}` : undefined}
        // biome-ignore lint/a11y/noAutofocus: the palette was asked for in order to write into it
        autoFocus
        autoComplete="off"
        spellCheck={false}
        value={text}
        onChange={(event) => {
          setText(event.target.value);
          setChosen(0);
        }}
        onKeyDown={(event) => {
          const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
          if (step && found.length > 0) {
            event.preventDefault();
            const next = (at + step + found.length) % found.length;
            setChosen(next);
            document.getElementById(`${id}-${found[next]?.id}`)?.scrollIntoView?.({ block: "nearest" });
          } else if (event.key === "Enter") {
            event.preventDefault();
            run(found[at]);
          }
        }}
      />
      <div className="palette__list" role="listbox" id={id} aria-label="Commands">
        {found.map((command, place) => (
          // biome-ignore lint/a11y/useKeyWithClickEvents: the box above has the keys
          // biome-ignore lint/a11y/useFocusableInteractive: focus stays in the box above
          <div
            key={command.id}
            id={`${id}-${command.id}`}
            role="option"
            aria-selected={place === at}
            className="palette__item"
            onClick={() => run(command)}
            onPointerMove={() => setChosen(place)}
          >
            <span>
              {command.label} <span className="faint">{command.group}</span>
            </span>
            {command.keys ? <kbd>{command.keys}</kbd> : null}
          </div>
        ))}
      </div>
      {found.length === 0 ? <p className="palette__item quiet">Nothing is called like this.</p> : null}
      <span className="sr" role="status">
        {found.length} found
      </span>
    </>
  );
}
