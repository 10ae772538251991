import { Badge } from "./parts";

/** Stands beside sums that a Hub of this machine counts. */
export const MadeUpPrices = () => (
  <p className="row">
    <Badge tone="info">simulated</Badge>
    <span className="quiet">A Hub of this machine counts this, by made up prices: nobody is billed for it.</span>
  </p>
);
