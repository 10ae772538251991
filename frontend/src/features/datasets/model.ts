type Fields = Record<string, unknown>;
const isObject = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value);

export type Call = { id: string; name: string; input: string };
export type Turn = { role: string; text: string; tool: string | null; calls: Call[] };

/** A call's arguments, spread over lines where they are JSON. */
export function spread(text: unknown): string {
  if (typeof text !== "string") return JSON.stringify(text ?? {}, null, 2);
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

/** The turns of a list of messages; what is no message is left out of it. */
export function turnsOf(value: unknown): Turn[] {
  if (!Array.isArray(value)) return [];
  return value.filter(isObject).map((message) => ({
    role: String(message["role"] ?? "unknown"),
    text: textOf(message["content"]),
    tool: typeof message["name"] === "string" ? message["name"] : null,
    calls: (Array.isArray(message["tool_calls"]) ? message["tool_calls"] : []).filter(isObject).map((call, at) => {
      const fn = isObject(call["function"]) ? call["function"] : {};
      return {
        id: String(call["id"] ?? at),
        name: String(fn["name"] ?? "unknown"),
        input: spread(fn["arguments"]),
      };
    }),
  }));
}

/** A message's text: as it is, or joined of its parts. */
function textOf(content: unknown): string {
  if (typeof content === "string") return content;
  if (content === null || content === undefined) return "";
  if (!Array.isArray(content)) return JSON.stringify(content, null, 2);
  return content
    .map((part) => (isObject(part) && typeof part["text"] === "string" ? part["text"] : JSON.stringify(part)))
    .join("\n");
}

export type Shown = { talks: { name: string; turns: Turn[] }[]; about: [string, string][]; rest: string | null };

const talkFields = ["messages", "prompt", "completion", "chosen", "rejected"];
const aboutFields = ["agent", "model", "score", "session_id", "segment"];

/** A row as it is shown: its conversations, what is said about it, and any other field as JSON. */
export function shownOf(row: unknown): Shown {
  if (!isObject(row)) return { talks: [], about: [], rest: JSON.stringify(row, null, 2) };
  const talks = talkFields.map((name) => ({ name, turns: turnsOf(row[name]) })).filter((talk) => talk.turns.length > 0);
  const metadata = isObject(row["metadata"]) ? row["metadata"] : {};
  const about = aboutFields.flatMap((key): [string, string][] => {
    const value = metadata[key];
    return value === undefined || value === null ? [] : [[key.replace("_", " "), String(value)]];
  });
  const rest = Object.fromEntries(
    Object.entries(row).filter(([key]) => key !== "metadata" && !talks.some((talk) => talk.name === key)),
  );
  return { talks, about, rest: Object.keys(rest).length > 0 ? JSON.stringify(rest, null, 2) : null };
}

/** Where a page of rows begins, out of an address. */
export const offsetOf = (after: string | null) => Math.max(0, Math.floor(Number(after)) || 0);

/** An address's query with other values; an empty one goes. */
export function search(now: URLSearchParams, next: Record<string, string>): URLSearchParams {
  for (const [key, value] of Object.entries(next)) {
    if (value) now.set(key, value);
    else now.delete(key);
  }
  return now;
}

/** A name with a slash is a repository on the Hub; one without was built here. */
export const isRepo = (name: string) => name.includes("/");
