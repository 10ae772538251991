import { queryOptions } from "@tanstack/react-query";
import { api, take } from "./client";

/** `account`: what is charged; `simulated`: what a Hub of this machine counts; null: that of the Hub that is used now. */
export type Book = "account" | "simulated" | null;

/** The part of a query that names a book. */
export const ofBook = (book: Book) => (book ? { book } : {});

/** What may be spent, what is set aside, what was spent. */
export const budgetOf = (book: Book) =>
  queryOptions({
    queryKey: ["budget", { book }],
    queryFn: ({ signal }) => take(api.GET("/api/budget", { params: { query: ofBook(book) }, signal })),
  });

export const budgetQuery = budgetOf(null);
