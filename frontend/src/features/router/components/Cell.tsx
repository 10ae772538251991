import type { ReactNode } from "react";

/** A number of a table; where the table is stacked on a phone, it says what it counts. */
export const Cell = ({ label, children }: { label: string; children: ReactNode }) => (
  <td className="num">
    <span className="cell__label">{label}: </span>
    {children}
  </td>
);
