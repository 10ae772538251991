import { render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test, vi } from "vitest";
import { Failure } from "../api/errors";
import { Confirm } from "./dialog";

const show = (run: () => Promise<unknown>, typed?: string, close = () => {}) =>
  render(
    <Confirm title="Delete it?" open close={close} action="Delete" run={run} {...(typed ? { typed } : {})}>
      <p>All of it goes.</p>
    </Confirm>,
  );

test("what is removed for good wants its name written", async () => {
  const user = userEvent.setup();
  const run = vi.fn().mockResolvedValue(undefined);
  show(run, "me/one");
  const button = screen.getByRole("button", { name: "Delete" });
  expect(button).toBeDisabled();
  await user.type(screen.getByLabelText(/to go on/), "me/on");
  expect(button).toBeDisabled();
  await user.keyboard("{Enter}");
  expect(run).not.toHaveBeenCalled();
  await user.type(screen.getByLabelText(/to go on/), "e");
  await user.click(button);
  expect(run).toHaveBeenCalledTimes(1);
});

test("one press acts once, and a refusal stays on the screen with its hint", async () => {
  const user = userEvent.setup();
  const close = vi.fn();
  let refuse: (why: unknown) => void = () => {};
  const run = vi.fn(() => new Promise((_, reject) => (refuse = reject)));
  show(run, undefined, close);
  const button = screen.getByRole("button", { name: "Delete" });
  await user.click(button);
  await user.click(button);
  expect(run).toHaveBeenCalledTimes(1);
  refuse(
    new Failure({
      message: "Nothing is left to spend.",
      status: 402,
      code: "quota_exceeded",
      hints: ["raise the cap with `bashgym budget set`"],
    }),
  );
  expect(await screen.findByRole("alert")).toHaveTextContent("Nothing is left to spend.");
  expect(screen.getByText("bashgym budget set").tagName).toBe("CODE");
  expect(close).not.toHaveBeenCalled();
});
