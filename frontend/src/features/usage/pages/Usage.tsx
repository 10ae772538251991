import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Link, useSearchParams } from "react-router";
import { type Book, budgetOf } from "../../../api/budget";
import { count, dateTime, number, usd, usdOf } from "../../../lib/format";
import { paths } from "../../../lib/paths";
import { Load } from "../../../ui/load";
import { MadeUpPrices } from "../../../ui/money";
import { itemsOf, ShowMore } from "../../../ui/more";
import { Badge, Figure, Meter, PageHead, Panel, Skeleton, Tabs, Time } from "../../../ui/parts";
import { CapForm, Caps } from "../components/Caps";
import { costOf, serviceName, services } from "../model";
import { callsQuery, entriesQuery, sumsQuery } from "../queries";

const sumsBy = [
  { id: "day", label: "Day" },
  { id: "month", label: "Month" },
  { id: "run", label: "Run" },
  { id: "purpose", label: "Purpose" },
] as const;

const room = (
  <div className="panel__body">
    <Skeleton lines={5} />
  </div>
);

export default function Usage() {
  const [book, choose] = useBook();
  const budget = useQuery(budgetOf(book));
  const open = budget.data?.book;
  return (
    <div className="page">
      <PageHead title="Usage" lead="What was spent, what is set aside for work that goes on, and what may be spent.">
        <label className="sr" htmlFor="book">
          Book
        </label>
        <select
          id="book"
          className="input"
          value={open ?? ""}
          disabled={!open}
          onChange={(event) => choose(event.target.value)}
        >
          {open ? null : <option value="">Which book…</option>}
          <option value="account">What accounts are charged</option>
          <option value="simulated">What this machine's own Hub counts</option>
        </select>
      </PageHead>
      <Panel title="All services">
        {open === "simulated" ? <MadeUpPrices /> : null}
        <Load query={budget} skeleton={<Skeleton lines={3} />}>
          {({ used }) => (
            <div className="figures">
              {used
                .filter((one) => one.service === "all")
                .map((one) => (
                  <Figure
                    key={one.window}
                    label={one.window === "day" ? "Spent today" : "Spent this month"}
                    value={usd(usdOf(one.settled_micro_usd))}
                  >
                    {usd(usdOf(one.reserved_micro_usd))} set aside
                    {one.unknown_entries ? `, ${count(one.unknown_entries, "entry", "entries")} of unknown price` : ""}
                  </Figure>
                ))}
            </div>
          )}
        </Load>
      </Panel>
      <div className="split">
        <Panel title="Caps" flush>
          <Load query={budget} skeleton={room}>
            {({ caps }) => <Caps caps={caps} />}
          </Load>
        </Panel>
        <Panel title="Set a cap">
          <CapForm />
        </Panel>
      </div>
      <Sums />
      <Calls />
      <Entries />
    </div>
  );
}

/** The book in the address. */
function useBook(): [Book, (book: string) => void] {
  const [search, setSearch] = useSearchParams();
  const asked = search.get("book");
  const choose = (book: string) =>
    setSearch(
      (now) => {
        now.set("book", book);
        return now;
      },
      { replace: true },
    );
  return [asked === "account" || asked === "simulated" ? asked : null, choose];
}

function Sums() {
  const [search, setSearch] = useSearchParams();
  const asked = search.get("by");
  const by = sumsBy.find((one) => one.id === asked)?.id ?? "day";
  const [book] = useBook();
  const sums = useQuery(sumsQuery(by, book));
  return (
    <Panel title="Where it went" flush>
      <Tabs
        label="Added up by"
        tabs={sumsBy}
        chosen={by}
        choose={(id) =>
          setSearch(
            (now) => {
              now.set("by", id);
              return now;
            },
            { replace: true },
          )
        }
      />
      <Load query={sums} skeleton={room}>
        {(list) => {
          if (list.length === 0)
            return (
              <div className="panel__body">
                <p className="quiet">Nothing was spent or set aside yet.</p>
              </div>
            );
          const most = Math.max(...list.map((one) => one.settled_micro_usd), 1);
          return (
            <div className="scroll">
              <table className="table table--stack">
                <thead>
                  <tr>
                    <th scope="col">{sumsBy.find((one) => one.id === by)?.label}</th>
                    <th scope="col">Service</th>
                    <th scope="col" className="num">
                      Entries
                    </th>
                    <th scope="col" className="num">
                      Set aside
                    </th>
                    <th scope="col" className="num">
                      Spent
                    </th>
                  </tr>
                </thead>
                <tbody>
                  {list.map((one) => (
                    <tr key={`${one.name} ${one.service}`}>
                      <td>
                        {by === "run" && one.name ? (
                          <Link className="mono" to={paths.run(one.name)}>
                            {one.name}
                          </Link>
                        ) : (
                          one.name || "no run"
                        )}
                      </td>
                      <td data-label="Service">{serviceName(one.service)}</td>
                      <td className="num" data-label="Entries">
                        {number(one.entries)}
                        {one.unknown_entries ? (
                          <div className="faint">{number(one.unknown_entries)} of unknown price</div>
                        ) : null}
                      </td>
                      <td className="num" data-label="Set aside">
                        {usd(usdOf(one.reserved_micro_usd))}
                      </td>
                      <td className="num" data-label="Spent">
                        {usd(usdOf(one.settled_micro_usd))}
                        <Meter label={`Share of the most, ${one.name}`} share={one.settled_micro_usd / most} />
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          );
        }}
      </Load>
    </Panel>
  );
}

function Calls() {
  const calls = useQuery(callsQuery("model"));
  return (
    <Panel title="Model calls" flush>
      <Load query={calls} skeleton={room}>
        {(list) =>
          list.length === 0 ? (
            <div className="panel__body">
              <p className="quiet">No model that somebody serves was called yet.</p>
            </div>
          ) : (
            <div className="scroll">
              <table className="table table--stack">
                <thead>
                  <tr>
                    <th scope="col">Model</th>
                    <th scope="col" className="num">
                      Calls
                    </th>
                    <th scope="col" className="num">
                      Failed
                    </th>
                    <th scope="col" className="num">
                      Tokens in
                    </th>
                    <th scope="col" className="num">
                      Tokens out
                    </th>
                    <th scope="col" className="num">
                      Cost
                    </th>
                  </tr>
                </thead>
                <tbody>
                  {list.map((one) => (
                    <tr key={one.name}>
                      <td className="mono">{one.name || "all"}</td>
                      <td className="num" data-label="Calls">
                        {number(one.calls)}
                      </td>
                      <td className="num" data-label="Failed">
                        {number(one.failed)}
                      </td>
                      <td className="num" data-label="Tokens in">
                        {number(one.prompt_tokens)}
                      </td>
                      <td className="num" data-label="Tokens out">
                        {number(one.completion_tokens)}
                      </td>
                      <td className="num" data-label="Cost">
                        {usd(one.cost_usd)}
                        {one.unknown_cost ? (
                          <div className="faint">and {count(one.unknown_cost, "call")} of unknown price</div>
                        ) : null}
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          )
        }
      </Load>
    </Panel>
  );
}

function Entries() {
  const [search, setSearch] = useSearchParams();
  const service = search.get("service") ?? "";
  const [book] = useBook();
  const entries = useInfiniteQuery(entriesQuery(service, book));
  return (
    <Panel
      title="Entries"
      flush
      actions={
        <>
          <label className="sr" htmlFor="service">
            Service
          </label>
          <select
            id="service"
            className="input"
            value={service}
            onChange={(event) => {
              const { value } = event.target;
              setSearch(
                (now) => {
                  if (value) now.set("service", value);
                  else now.delete("service");
                  return now;
                },
                { replace: true },
              );
            }}
          >
            <option value="">Every service</option>
            {services
              .filter((one) => one !== "all")
              .map((one) => (
                <option key={one} value={one}>
                  {serviceName(one)}
                </option>
              ))}
          </select>
        </>
      }
    >
      <Load query={entries} skeleton={room}>
        {(data) => {
          const list = itemsOf(data);
          if (list.length === 0)
            return (
              <div className="panel__body">
                <p className="quiet">{service ? "No entry of this service." : "No entry yet."}</p>
              </div>
            );
          return (
            <div className="scroll">
              <table className="table table--stack">
                <thead>
                  <tr>
                    <th scope="col">What for</th>
                    <th scope="col">Service</th>
                    <th scope="col">When</th>
                    <th scope="col" className="num">
                      Cost
                    </th>
                  </tr>
                </thead>
                <tbody>
                  {list.map((entry) => {
                    const cost = costOf(entry);
                    return (
                      <tr key={entry.key}>
                        <td>
                          {entry.purpose}
                          {entry.run_id ? (
                            <div>
                              <Link className="mono faint" to={paths.run(entry.run_id)}>
                                run {entry.run_id.slice(0, 13)}
                              </Link>
                            </div>
                          ) : null}
                        </td>
                        <td data-label="Service">{serviceName(entry.service)}</td>
                        <td data-label="When">
                          <Time at={entry.reserved_at} />
                          <div className="faint">{dateTime(entry.reserved_at)}</div>
                        </td>
                        <td className="num" data-label="Cost">
                          {usd(cost.usd)} <Badge tone={cost.tone}>{cost.note}</Badge>
                        </td>
                      </tr>
                    );
                  })}
                </tbody>
              </table>
            </div>
          );
        }}
      </Load>
      <ShowMore query={entries} flush />
    </Panel>
  );
}
