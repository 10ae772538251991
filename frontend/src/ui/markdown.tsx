import { Fragment, type ReactNode } from "react";

/**
 * Markdown as cards use it: headings, paragraphs, lists, code, tables, quotes, links, strong and emphasised words. It is made
 * into elements; HTML within it stays text, and a link leads only to http and https.
 */
export function Markdown({ text }: { text: string }) {
  return <div className="prose">{blocks(text.replaceAll("\r\n", "\n").split("\n"))}</div>;
}

/** A card's YAML and what comes behind it. */
export function splitFrontMatter(text: string): { yaml: string | null; body: string } {
  const found = /^---\n([\s\S]*?)\n---(?:\n|$)/.exec(text.replaceAll("\r\n", "\n"));
  return found
    ? { yaml: found[1] ?? "", body: text.replaceAll("\r\n", "\n").slice(found[0].length) }
    : { yaml: null, body: text };
}

const fence = /^\s*(```+|~~~+)(.*)$/;
const heading = /^(#{1,6})\s+(.*?)\s*#*$/;
const bullet = /^\s*[-*+]\s+(.*)$/;
const numbered = /^\s*\d{1,9}[.)]\s+(.*)$/;
const quote = /^\s*>\s?(.*)$/;
const rule = /^\s*([-*_])(\s*\1){2,}\s*$/;
const divider = /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/;

function blocks(lines: readonly string[]): ReactNode[] {
  const made: ReactNode[] = [];
  let at = 0;
  const key = () => made.length;
  /** Takes lines while they fit, each by what it holds. */
  const taken = (pattern: RegExp) => {
    const found: string[] = [];
    for (let match = pattern.exec(lines[at] ?? ""); at < lines.length && match; match = pattern.exec(lines[at] ?? "")) {
      found.push(match[1] ?? "");
      at += 1;
    }
    return found;
  };
  while (at < lines.length) {
    const line = lines[at] ?? "";
    const opened = fence.exec(line);
    const title = heading.exec(line);
    if (line.trim() === "") at += 1;
    else if (opened) {
      const end = lines.findIndex((one, place) => place > at && one.trim().startsWith(opened[1] ?? "```"));
      const until = end < 0 ? lines.length : end;
      made.push(
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what is cut off is read by scrolling with the keys
        <pre key={key()} className="pre" tabIndex={0}>
          {lines.slice(at + 1, until).join("\n")}
        </pre>,
      );
      at = until + 1;
    } else if (title) {
      made.push(titled((title[1] ?? "#").length, title[2] ?? "", key()));
      at += 1;
    } else if (rule.test(line)) {
      made.push(<hr key={key()} />);
      at += 1;
    } else if (bullet.test(line)) made.push(<ul key={key()}>{taken(bullet).map(item)}</ul>);
    else if (numbered.test(line)) made.push(<ol key={key()}>{taken(numbered).map(item)}</ol>);
    else if (quote.test(line)) made.push(<blockquote key={key()}>{blocks(taken(quote))}</blockquote>);
    else if (line.includes("|") && divider.test(lines[at + 1] ?? "") && (lines[at + 1] ?? "").includes("-")) {
      const head = cells(line);
      const rows: string[][] = [];
      for (at += 2; (lines[at] ?? "").includes("|"); at += 1) rows.push(cells(lines[at] ?? ""));
      made.push(table(head, rows, key()));
    } else {
      const start = at;
      while (at < lines.length && (at === start || continues(lines[at] ?? ""))) at += 1;
      made.push(<p key={key()}>{inline(lines.slice(start, at).join("\n"))}</p>);
    }
  }
  return made;
}

/** Whether a line goes on with the paragraph before it. */
const continues = (line: string) =>
  line.trim() !== "" && ![fence, heading, bullet, numbered, quote, rule].some((pattern) => pattern.test(line));

/** The page and its panel have the first two levels. */
function titled(level: number, text: string, key: number) {
  const Tag = level <= 1 ? "h3" : level === 2 ? "h4" : "h5";
  return <Tag key={key}>{inline(text)}</Tag>;
}

const item = (text: string, at: number) => <li key={at}>{inline(text)}</li>;

const cells = (line: string) =>
  line
    .trim()
    .replace(/^\||\|$/g, "")
    .split(/(?<!\\)\|/)
    .map((cell) => cell.trim());

const table = (head: readonly string[], rows: readonly (readonly string[])[], key: number) => (
  // biome-ignore lint/a11y/noNoninteractiveTabindex: what is cut off is read by scrolling with the keys
  <div key={key} className="scroll" tabIndex={0}>
    <table className="table">
      <thead>
        <tr>
          {head.map((cell, at) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: a table's columns never move
            <th key={at} scope="col">
              {inline(cell)}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {rows.map((row, at) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: a table's rows never move
          <tr key={at}>
            {head.map((_, column) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: a table's columns never move
              <td key={column}>{inline(row[column] ?? "")}</td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  </div>
);

const marks =
  /\\([!-/:-@[-`{-~])|(`+)([^`]+?)\2(?!`)|!?\[([^\]]*)\]\(([^()\s]+)\)|\*\*([^*]+)\*\*|__([^_]+)__|(?<![\w*])\*([^*\s][^*]*)\*|(?<!\w)_([^_\s][^_]*)_(?!\w)|<(https?:\/\/[^\s<>]+)>/g;

function inline(text: string): ReactNode[] {
  const made: ReactNode[] = [];
  let end = 0;
  for (const found of text.matchAll(marks)) {
    const [whole, escaped, , code, label, target, strong, strongToo, soft, softToo, bare] = found;
    if (found.index > end) made.push(text.slice(end, found.index));
    end = found.index + whole.length;
    const key = made.length;
    const strongText = strong ?? strongToo;
    const softText = soft ?? softToo;
    if (escaped !== undefined) made.push(escaped);
    else if (code !== undefined) made.push(<code key={key}>{code.trim()}</code>);
    else if (strongText !== undefined) made.push(<strong key={key}>{strongText}</strong>);
    else if (softText !== undefined) made.push(<em key={key}>{softText}</em>);
    else made.push(link(label ?? bare ?? "", target ?? bare ?? "", key));
  }
  if (end < text.length) made.push(text.slice(end));
  return made;
}

/** A link that leads to the web; any other is only its words. */
const link = (label: string, target: string, key: number) =>
  /^https?:\/\//i.test(target) ? (
    <a key={key} href={target} target="_blank" rel="noreferrer noopener">
      {label || target}
    </a>
  ) : (
    <Fragment key={key}>{label}</Fragment>
  );
