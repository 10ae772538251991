import { Badge } from "./parts";

/** Stands beside sums that come of the embedded Hub's prices. */
export const MadeUpPrices = () => (
  <p className="row">
    <Badge tone="info">simulated</Badge>
    <span className="quiet">
      This server works on the embedded Hub, whose prices are made up: nobody is billed for what is done on it.
    </span>
  </p>
);
