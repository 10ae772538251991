import { useQuery } from "@tanstack/react-query";
import { Link, useSearchParams } from "react-router";
import { percent } from "../../../lib/format";
import { paths } from "../../../lib/paths";
import { Load } from "../../../ui/load";
import { Copyable, Figure, Note, PageHead, Panel, Skeleton, Tabs } from "../../../ui/parts";
import { Decisions } from "../components/Decisions";
import { Explain } from "../components/Explain";
import { Models } from "../components/Models";
import { Numbers } from "../components/Numbers";
import { Replay } from "../components/Replay";
import { Setup } from "../components/Setup";
import { type RouterView, spans, strategyWords } from "../model";
import { reportQuery, routerQuery } from "../queries";

const tabs = [
  { id: "now", label: "Now" },
  { id: "decisions", label: "Decisions" },
  { id: "replay", label: "Replay" },
  { id: "setup", label: "Point a tool here" },
] as const;

export default function RouterPage() {
  const [search, setSearch] = useSearchParams();
  const router = useQuery(routerQuery);
  const asked = search.get("span");
  const seconds = asked === "all" ? "" : (spans.find(([value]) => value && value === asked)?.[0] ?? "604800");
  const report = useQuery(reportQuery(seconds));
  const tab = tabs.find((one) => one.id === search.get("tab"))?.id ?? "now";
  const choose = (value: string) => set("span", value || "all");
  const set = (name: string, value: string) =>
    setSearch(
      (now) => {
        if (value) now.set(name, value);
        else now.delete(name);
        return now;
      },
      { replace: true },
    );
  return (
    <div className="page">
      <PageHead
        title="Router"
        lead="Which model answers a call, why, and what that costs and is worth. It learns from verdicts alone."
      />
      <Load query={router} skeleton={<Skeleton lines={8} />}>
        {(data) => (
          <>
            {data.backends.length === 0 ? <NoModels /> : null}
            <Tabs label="What to see" tabs={tabs} chosen={tab} choose={(id) => set("tab", id === "now" ? "" : id)} />
            {tab === "now" ? (
              <>
                <Strategy router={data} />
                <Numbers seconds={seconds} choose={choose} />
                <Models router={data} />
              </>
            ) : null}
            {tab === "decisions" ? <Decisions models={report.data?.models.map((one) => one.model) ?? []} /> : null}
            {tab === "replay" ? (
              <Replay
                seconds={seconds}
                chooseTime={choose}
                strategies={search.get("replay") ?? ""}
                choose={(strategies) => set("replay", strategies)}
              />
            ) : null}
            {tab === "setup" ? (
              <div className="split split--even">
                <Setup />
                <Candidates keeps={data.keeps_exchanges} />
              </div>
            ) : null}
          </>
        )}
      </Load>
      <Explain id={search.get("decision") ?? ""} close={() => set("decision", "")} />
    </div>
  );
}

function Strategy({ router }: { router: RouterView }) {
  const words = strategyWords(router.strategy);
  return (
    <Panel title="How bashgym/auto chooses">
      <div className="figures">
        <Figure label="Strategy" value={words.label} />
        {router.quality === null ? null : (
          <Figure
            label={router.strategy === "confidence_based" ? "Sure at least" : "Right at least"}
            value={percent(router.quality)}
          />
        )}
        <Figure label="Explores" value={percent(router.explore)}>
          calls that try another model
        </Figure>
      </div>
      <p>{words.what}</p>
      <p className="quiet">Another one is chosen when the server is started:</p>
      <Copyable text="bashgym up --strategy cost_optimized:0.9" label="Copy the command" />
    </Panel>
  );
}

const NoModels = () => (
  <Note tone="info" title="bashgym/auto has no model to choose from yet">
    <p>Start the server with a student, a teacher or both. A model at the Hub can be asked by its name without that.</p>
    <Copyable text="bashgym up --student me/bashgym-student --teacher MODEL" label="Copy the command" />
  </Note>
);

function Candidates({ keeps }: { keeps: boolean }) {
  return (
    <Panel title="Candidates for the next dataset">
      <p className="quiet">
        Calls that the student was not sure of, with the answer another model gave, are what it can learn most from.{" "}
        {keeps ? (
          <>
            This server keeps their conversations:{" "}
            <Link to={`${paths.router()}?tab=decisions&kept=yes`}>look at the decisions</Link>.
          </>
        ) : (
          "This server does not keep conversations. Start it so that it does:"
        )}
      </p>
      {keeps ? null : <Copyable text="bashgym up --keep-exchanges" label="Copy the command" />}
      <p className="quiet">They become rows of a dataset with secrets taken out; answers found wrong are left out:</p>
      <Copyable text="bashgym route candidates --out hard.jsonl" label="Copy the command" />
    </Panel>
  );
}
