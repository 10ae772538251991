import createClient, { type Middleware } from "openapi-fetch";
import { Failure, failureOf } from "./errors";
import type { components, paths } from "./schema.gen";

/** A shape of the server's, by its name in the API's description. */
export type Schema<Name extends keyof components["schemas"]> = components["schemas"][Name];

let csrf: string | null = null;
let onSignedOut: () => void = () => {};

/** Says what is to happen when the server no longer knows this browser. */
export function whenSignedOut(then: () => void) {
  onSignedOut = then;
}

export function setCsrf(token: string | null) {
  csrf = token;
}

const guard: Middleware = {
  onRequest({ request }) {
    if (csrf && !["GET", "HEAD"].includes(request.method)) request.headers.set("x-csrf-token", csrf);
    return request;
  },
  onResponse({ response, request }) {
    if (response.status === 401 && !request.headers.has("authorization")) onSignedOut();
  },
  onError({ error }) {
    return error instanceof DOMException && error.name === "AbortError" ? error : Failure.unreachable(error);
  },
};

/** The server. A name in a path may have a slash; it is sent as `%2F`. */
export const api = createClient<paths>({ baseUrl: window.location.origin, fetch: (request) => window.fetch(request) });
api.use(guard);

/** Takes an answer's data or throws its problem as a {@link Failure}. */
export async function take<T>(answer: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<T> {
  const { data, error, response } = await answer;
  if (!response.ok) throw failureOf(error, response);
  return data as T;
}

/** A key that makes a repeated POST one. Make it when the form is opened, not when it is sent. */
export const intentKey = () => crypto.randomUUID();
