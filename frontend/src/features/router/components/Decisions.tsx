import { useInfiniteQuery } from "@tanstack/react-query";
import { useSearchParams } from "react-router";
import { number } from "../../../lib/format";
import { Load } from "../../../ui/load";
import { Badge, Button, Empty, Panel, Skeleton, Time } from "../../../ui/parts";
import {
  bucketLabel,
  costWords,
  kinds,
  roleLabel,
  states,
  stateWords,
  strategies,
  strategyWords,
  verdicts,
  verdictWords,
} from "../model";
import { decisionsQuery, type Filters } from "../queries";
import { Cell } from "./Cell";

const choices: { name: "kind" | "strategy" | "state" | "verdict"; any: string; options: [string, string][] }[] = [
  { name: "kind", any: "Every kind of task", options: Object.entries(kinds) },
  {
    name: "strategy",
    any: "Every strategy",
    options: [
      ...Object.entries(strategies).map(([word, { label }]): [string, string] => [word, label]),
      ["named", "Named by the caller"],
    ],
  },
  { name: "state", any: "Every end", options: Object.entries(states).map(([word, { label }]) => [word, label]) },
  {
    name: "verdict",
    any: "Every verdict",
    options: Object.entries(verdicts).map(([word, { label }]) => [word, label]),
  },
];

/** The decisions that the address asks for, newest first. */
export function Decisions({ models }: { models: readonly string[] }) {
  const [search, setSearch] = useSearchParams();
  const filters: Filters = {};
  for (const name of ["kind", "model", "strategy", "state", "verdict"] as const) {
    const value = search.get(name);
    if (value) filters[name] = value;
  }
  if (search.get("kept")) filters.kept = true;
  const isFiltered = Object.keys(filters).length > 0;
  const query = useInfiniteQuery(decisionsQuery(filters));
  const hasSome = query.data?.pages.some((page) => page.items.length > 0) ?? false;
  const set = (changes: Record<string, string>) =>
    setSearch(
      (now) => {
        for (const [name, value] of Object.entries(changes)) {
          if (value) now.set(name, value);
          else now.delete(name);
        }
        return now;
      },
      { replace: true },
    );
  const select = (name: string, any: string, options: readonly [string, string][]) => (
    <span key={name}>
      <label className="sr" htmlFor={`filter-${name}`}>
        {any}
      </label>
      <select
        id={`filter-${name}`}
        className="input"
        value={search.get(name) ?? ""}
        onChange={(event) => set({ [name]: event.target.value })}
      >
        <option value="">{any}</option>
        {options.map(([value, label]) => (
          <option key={value} value={value}>
            {label}
          </option>
        ))}
      </select>
    </span>
  );
  return (
    <Panel title="Decisions" flush>
      <div className="filters">
        {choices.map(({ name, any, options }) => select(name, any, options))}
        {select(
          "model",
          "Every model",
          [...new Set([...models, ...(filters.model ? [filters.model] : [])])].map((model): [string, string] => [
            model,
            model,
          ]),
        )}
        <label className="check">
          <input
            type="checkbox"
            checked={filters.kept ?? false}
            onChange={(event) => set({ kept: event.target.checked ? "yes" : "" })}
          />
          <span>Conversation kept</span>
        </label>
      </div>
      <Load
        query={query}
        skeleton={
          <div className="panel__body">
            <Skeleton lines={6} />
          </div>
        }
      >
        {(data) => {
          const decisions = data.pages.flatMap((page) => page.items);
          if (decisions.length === 0)
            return isFiltered ? (
              <Empty
                title={query.hasNextPage ? "None among the newest" : "No decision is like that"}
                action={
                  <Button onClick={() => set({ kind: "", model: "", strategy: "", state: "", verdict: "", kept: "" })}>
                    Show all decisions
                  </Button>
                }
              />
            ) : (
              <Empty title="No call yet">
                <p>
                  Point a tool at the gateway, as it says below. Each call shows up here, with the reason for its model.
                </p>
              </Empty>
            );
          return (
            <div className="scroll">
              <table className="table table--stack decisions">
                <thead>
                  <tr>
                    <th scope="col">Call</th>
                    <th scope="col">Answered by</th>
                    <th scope="col">End</th>
                    <th scope="col">Verdict</th>
                    <th scope="col" className="num">
                      Cost
                    </th>
                    <th scope="col" className="num">
                      Time
                    </th>
                  </tr>
                </thead>
                <tbody>
                  {decisions.map((one) => {
                    const state = stateWords(one.state);
                    const verdict = verdictWords(one.verdict);
                    return (
                      <tr key={one.id}>
                        <th scope="row" className="table__name">
                          <button type="button" className="link" onClick={() => set({ decision: one.id })}>
                            {bucketLabel(one.bucket)}
                            <span className="sr">, explain decision {one.id}</span>
                          </button>
                          <div className="faint">
                            {strategyWords(one.strategy).label}, <Time at={one.at} />
                          </div>
                        </th>
                        <td>
                          {one.answered_by ?? "nobody"}
                          <div className="faint">
                            {one.role ? roleLabel(one.role) : ""}
                            {one.asked > 1 ? `, ${number(one.asked)} asked` : ""}
                          </div>
                        </td>
                        <td>
                          <Badge tone={state.tone}>{state.label}</Badge>
                        </td>
                        <td>
                          <Badge tone={verdict.tone}>{verdict.label}</Badge>
                        </td>
                        <Cell label="cost">{costWords(one.cost_usd, one.cost_known)}</Cell>
                        <Cell label="time">{number(one.millis)} ms</Cell>
                      </tr>
                    );
                  })}
                </tbody>
              </table>
            </div>
          );
        }}
      </Load>
      {query.hasNextPage ? (
        <div className="panel__body">
          <div>
            <Button busy={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
              {hasSome ? "Show more" : "Look further back"}
            </Button>
          </div>
        </div>
      ) : null}
    </Panel>
  );
}
