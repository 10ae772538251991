import type { UseQueryResult } from "@tanstack/react-query";
import type { Schema } from "../../../api/client";
import { Load } from "../../../ui/load";
import { Markdown, splitFrontMatter } from "../../../ui/markdown";
import { Pre, Skeleton } from "../../../ui/parts";

/** A dataset's card, as its README says it. */
export function CardView({ query }: { query: UseQueryResult<Schema<"Card">> }) {
  return (
    <div className="panel__body">
      <Load query={query} skeleton={<Skeleton lines={10} />}>
        {({ text }) => {
          if (!text?.trim()) return <p className="quiet">It has no card: no README.md lies beside its rows.</p>;
          const { yaml, body } = splitFrontMatter(text);
          return (
            <>
              <Markdown text={body} />
              {yaml ? (
                <details>
                  <summary>What the Hub reads of it</summary>
                  <Pre text={yaml} />
                </details>
              ) : null}
            </>
          );
        }}
      </Load>
    </div>
  );
}
