import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { render } from "@testing-library/react";
import type { ComponentType } from "react";
import { MemoryRouter, Route, Routes, useLocation } from "react-router";
import { vi } from "vitest";

type Asked = { method: string; path: string; search: URLSearchParams; body: unknown; headers: Headers };
export type Answer = unknown | ((asked: Asked) => unknown);

/** A refusal as the server words one. */
export class Refusal {
  constructor(
    readonly status: number,
    readonly code: string,
    readonly detail: string,
    readonly hints: string[] = [],
  ) {}
}

/** An answer that does not come. */
export const never = () => new Promise(() => {});

function Where() {
  const { pathname, search } = useLocation();
  return <output data-testid="where">{pathname + search}</output>;
}

/**
 * Shows a page against answers by `METHOD /path`. What is asked and has no answer is refused with 404, and everything that
 * was asked is kept.
 */
export function showPage(
  Page: ComponentType,
  { route, at, answers }: { route: string; at: string; answers: Record<string, Answer> },
) {
  const asked: Asked[] = [];
  vi.spyOn(window, "fetch").mockImplementation(async (input) => {
    const request = input as Request;
    const url = new URL(request.url);
    const text = await request.clone().text();
    const one: Asked = {
      method: request.method,
      path: decodeURIComponent(url.pathname),
      search: url.searchParams,
      body: text ? JSON.parse(text) : null,
      headers: request.headers,
    };
    asked.push(one);
    const key = `${one.method} ${one.path}`;
    const known = key in answers ? answers[key] : new Refusal(404, "not_found", `nothing answers ${key}`);
    const answer = await (typeof known === "function" ? known(one) : known);
    if (answer instanceof Refusal) {
      const { status, code, detail, hints } = answer;
      return new Response(JSON.stringify({ type: "about:blank", title: code, status, code, detail, hints }), {
        status,
        headers: { "content-type": "application/problem+json" },
      });
    }
    return answer === undefined
      ? new Response(null, { status: 204 })
      : new Response(JSON.stringify(answer), { headers: { "content-type": "application/json" } });
  });
  const client = new QueryClient({ defaultOptions: { queries: { retry: false }, mutations: { retry: false } } });
  render(
    <QueryClientProvider client={client}>
      <MemoryRouter initialEntries={[at]}>
        <Where />
        <Routes>
          <Route path={route} element={<Page />} />
          <Route path="*" element={<p>another page</p>} />
        </Routes>
      </MemoryRouter>
    </QueryClientProvider>,
  );
  return { asked, client };
}
