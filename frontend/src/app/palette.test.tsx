import { render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test, vi } from "vitest";
import { fits, Palette } from "./palette";

test("what begins so fits best, letters in order fit too, others do not", () => {
  expect(fits("Settings", "set")).toBe(0);
  expect(fits("Settings", "sgs")).toBeGreaterThan(99);
  expect(fits("Settings", "xyz")).toBeNull();
});

test("the palette is used by the keyboard alone", async () => {
  const user = userEvent.setup();
  const close = vi.fn();
  const run = { jobs: vi.fn(), settings: vi.fn(), home: vi.fn() };
  render(
    <Palette
      open
      close={close}
      commands={[
        { id: "home", label: "Home", group: "Page", run: run.home },
        { id: "jobs", label: "Jobs", group: "Page", run: run.jobs },
        { id: "settings", label: "Settings", group: "Page", words: "token", run: run.settings },
      ]}
    />,
  );
  const input = screen.getByRole("combobox");
  expect(input).toHaveFocus();
  await user.keyboard("{ArrowDown}");
  expect(screen.getByRole("option", { name: /Jobs/ })).toHaveAttribute("aria-selected", "true");
  expect(input).toHaveAttribute("aria-activedescendant", screen.getByRole("option", { name: /Jobs/ }).id);
  await user.type(input, "token");
  expect(screen.getAllByRole("option")).toHaveLength(1);
  await user.keyboard("{Enter}");
  expect(run.settings).toHaveBeenCalledTimes(1);
  expect(close).toHaveBeenCalled();
});
