import { Link } from "react-router";
import { paths } from "../lib/paths";
import { PageHead } from "../ui/parts";

export function NotFound() {
  return (
    <div className="page">
      <PageHead title="There is no such page" lead="The address names a page that this dashboard does not have." />
      <p>
        <Link to={paths.home()}>Go to the home page</Link>
      </p>
    </div>
  );
}
