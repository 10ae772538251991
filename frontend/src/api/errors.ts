import type { components } from "./schema.gen";

type ProblemBody = components["schemas"]["ProblemBody"];

/** Why an action did not succeed, with what to do next. All words for errors come from here or from the server. */
export class Failure extends Error {
  readonly status: number;
  readonly code: string;
  readonly hints: string[];
  readonly requestId: string | undefined;
  readonly retryAfterSecs: number | undefined;

  constructor(init: {
    message: string;
    status: number;
    code: string;
    hints?: string[];
    requestId?: string;
    retryAfterSecs?: number;
    cause?: unknown;
  }) {
    super(init.message, { cause: init.cause });
    this.name = "Failure";
    this.status = init.status;
    this.code = init.code;
    this.hints = init.hints ?? [];
    this.requestId = init.requestId;
    this.retryAfterSecs = init.retryAfterSecs;
  }

  static unreachable(cause: unknown): Failure {
    return new Failure({
      message: "The server does not answer.",
      status: 0,
      code: "unreachable",
      hints: ["It may be restarting; this page tries again by itself.", "If it was ended, run `bashgym up`."],
      cause,
    });
  }
}

const isProblem = (body: unknown): body is ProblemBody =>
  typeof body === "object" && body !== null && "code" in body && typeof body.code === "string";

export function failureOf(body: unknown, response: Response): Failure {
  const wait = Number(response.headers.get("retry-after"));
  const retryAfterSecs = Number.isFinite(wait) && wait > 0 ? { retryAfterSecs: wait } : {};
  if (!isProblem(body)) {
    return new Failure({
      message: `The server answered ${response.status} without saying why.`,
      status: response.status,
      code: "unreadable",
      ...retryAfterSecs,
    });
  }
  // Streams answer with a shape of their own, which has no hints.
  const hints: unknown = body.hints;
  return new Failure({
    message: sentence(body.detail || body.title),
    status: response.status,
    code: body.code,
    hints: Array.isArray(hints) ? hints.map(String) : [],
    ...(body.request_id ? { requestId: body.request_id } : {}),
    ...retryAfterSecs,
  });
}

/** Any error as a {@link Failure}. */
export function asFailure(error: unknown): Failure {
  if (error instanceof Failure) return error;
  return new Failure({
    message: "This page met an error of its own.",
    status: 0,
    code: "page",
    hints: ["Reload the page. If it happens again, please report it with the text below."],
    cause: error,
  });
}

/** A text as a sentence: a capital first and a full stop last. */
export function sentence(text: string): string {
  const trimmed = text.trim();
  if (!trimmed) return "";
  const first = trimmed.charAt(0).toUpperCase() + trimmed.slice(1);
  return /[.!?…]$/.test(first) ? first : `${first}.`;
}
