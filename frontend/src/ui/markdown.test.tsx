import { render, screen } from "@testing-library/react";
import { expect, test } from "vitest";
import { Markdown, splitFrontMatter } from "./markdown";

const html = (text: string) => render(<Markdown text={text} />).container.innerHTML;

test("what cards use is made into elements", () => {
  render(
    <Markdown
      text={
        "# Title\n\nSome **strong** text\nwith `code`.\n\n- one\n- two\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n\n```py\nx = '<b>'\n```\n\n1. first\n\n> said"
      }
    />,
  );
  expect(screen.getByRole("heading", { name: "Title", level: 3 })).toBeVisible();
  expect(screen.getByText("strong").tagName).toBe("STRONG");
  expect(screen.getByText("code").tagName).toBe("CODE");
  expect(screen.getAllByRole("listitem").map((one) => one.textContent)).toEqual(["one", "two", "first"]);
  expect(screen.getByRole("row", { name: "1 2" })).toBeVisible();
  expect(screen.getByText("x = '<b>'").tagName).toBe("PRE");
  expect(screen.getByText("said").closest("blockquote")).not.toBeNull();
});

test("HTML stays text, and a link leads only to the web", () => {
  expect(html("<script>alert(1)</script><img src=x onerror=alert(1)>")).not.toMatch(/<(script|img)/);
  expect(html("[go](javascript:alert(1)) [also](data:text/html,x) [here](/settings)")).not.toContain("href");
  expect(html("[go](https://example.org/a)")).toContain('href="https://example.org/a"');
  expect(html("![pixel](https://example.org/p.png)")).not.toContain("<img");
});

test("names with underscores and what never ends stay as they are", () => {
  expect(html("read load_dataset_builder and a * b * c")).toContain("read load_dataset_builder and a * b * c");
  expect(html("aws\\_access\\_key \\*no\\*")).toContain("aws_access_key *no*");
  expect(html("| a |\n| --- |\n| x\\|y |")).toContain("x|y");
  expect(html("```\nno end")).toContain("no end");
  expect(html("**open and `open")).toContain("**open and `open");
  const long = `${"*".repeat(20_000)} ${"[".repeat(20_000)}`;
  expect(html(long)).toContain("[[[");
});

test("a card's YAML is taken apart from its text", () => {
  expect(splitFrontMatter("---\nlicense: mit\n---\n# A\n")).toEqual({ yaml: "license: mit", body: "# A\n" });
  expect(splitFrontMatter("# A")).toEqual({ yaml: null, body: "# A" });
});
