import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useParams, useSearchParams } from "react-router";
import { paths } from "../../../lib/paths";
import { Confirm } from "../../../ui/dialog";
import { FailureNote } from "../../../ui/failure";
import { Icon } from "../../../ui/icons";
import { Load } from "../../../ui/load";
import { Badge, Button, Fact, Facts, Note, PageHead, Panel, Skeleton } from "../../../ui/parts";
import { DeployTask } from "../components/DeployTask";
import { SpaceChange } from "../components/SpaceChange";
import { SpaceLog } from "../components/SpaceLog";
import { SpaceSettings } from "../components/SpaceSettings";
import { TryBox } from "../components/TryBox";
import { ZeroGpuTime } from "../components/ZeroGpuTime";
import { appWords, isBroken, isFree, type Quota, type Space, spaceCan, stageWords, tellingLog, way } from "../model";
import { spaceQuery, usePause, useRestart } from "../queries";

export default function SpaceDetail() {
  const name = useParams()["*"] ?? "";
  const query = useQuery(spaceQuery(name));
  return (
    <div className="page">
      {query.data ? null : <PageHead title={name} />}
      <Load query={query} skeleton={<Skeleton lines={10} />}>
        {(space) => <Shown key={space.space_id} space={space} />}
      </Load>
    </div>
  );
}

function Shown({ space }: { space: Space }) {
  const [search, setSearch] = useSearchParams();
  const id = space.space_id;
  const words = stageWords(space.stage);
  const asked = search.get("log");
  const log = asked === "build" || asked === "run" ? asked : tellingLog(space.stage);
  const task = search.get("task");
  const set = (key: string, value: string | null) =>
    setSearch(
      (now) => {
        if (value === null) now.delete(key);
        else now.set(key, value);
        return now;
      },
      { replace: true },
    );
  return (
    <>
      <PageHead
        title={id}
        lead={
          <span className="row">
            <Badge tone={words.tone}>{words.label}</Badge>
            {space.model_repo ? <span>serves {space.model_repo}</span> : null}
          </span>
        }
      >
        <Controls space={space} />
      </PageHead>
      {isBroken(space.stage) ? (
        <div role="alert">
          <Note tone="bad" title={words.label}>
            <p>{space.error ?? "The Hub gives no reason. The last lines of the log below often do."}</p>
            <p>Another model, other settings or a factory restart can help; a rollback serves the model before.</p>
          </Note>
        </div>
      ) : null}
      {space.simulated ? (
        <Note tone="info" title="This Hub only simulates the app">
          {space.simulated}
        </Note>
      ) : null}
      {task ? (
        <Panel title="Deployment">
          <DeployTask key={task} id={task} what="The deployment" clear={() => set("task", null)} />
        </Panel>
      ) : null}
      <Panel title="Stages">
        <ol className="timeline">
          {way(space.stage).map((step) => (
            <li key={step.label} data-state={step.state}>
              <b>{step.label}</b>
              <span className="faint">{step.state === "now" ? "now" : step.state === "bad" ? "failed" : ""}</span>
            </li>
          ))}
        </ol>
      </Panel>
      <div className="split">
        <div className="stack">
          <Panel title="Try it">
            <TryBox
              name={id}
              why={spaceCan.answer(space) ? null : `It is ${words.label.toLowerCase()}: its app does not answer now.`}
            />
          </Panel>
          <Panel title="Logs" flush>
            <SpaceLog name={id} stage={space.stage} log={log} choose={(next) => set("log", next)} />
          </Panel>
          <SpaceChange space={space} started={(begun) => set("task", begun)} />
        </div>
        <div className="stack">
          <Panel title="What it is">
            <Facts>
              <Fact label="Model">{space.model_repo ?? "not made here"}</Fact>
              {space.model_revision ? (
                <Fact label="Revision">
                  <code>{space.model_revision.slice(0, 12)}</code>
                </Fact>
              ) : null}
              {space.app ? <Fact label="Answers with">{appWords[space.app] ?? space.app}</Fact> : null}
              <Fact label="Hardware">
                <code>{space.hardware ?? space.hardware_requested ?? "–"}</code>
                {space.hardware_requested && space.hardware && space.hardware_requested !== space.hardware ? (
                  <>
                    , <code>{space.hardware_requested}</code> was asked for
                  </>
                ) : null}
              </Fact>
              {space.commit ? (
                <Fact label="Commit that runs">
                  <code>{space.commit.slice(0, 12)}</code>
                </Fact>
              ) : null}
              <Fact label="Page">
                <a href={space.url} target="_blank" rel="noreferrer">
                  On the Hub <Icon name="external" />
                  <span className="sr">(a new tab)</span>
                </a>
              </Fact>
              {space.app_url ? (
                <Fact label="App">
                  <code>{space.app_url}</code>
                </Fact>
              ) : null}
            </Facts>
            {space.zero_gpu ? <ZeroGpuTime quota={space.zero_gpu as unknown as Quota} /> : null}
          </Panel>
          <SpaceSettings space={space} />
        </div>
      </div>
    </>
  );
}

function Controls({ space }: { space: Space }) {
  const [asking, setAsking] = useState<"pause" | "factory" | null>(null);
  const pause = usePause(space.space_id);
  const restart = useRestart(space.space_id);
  const hardware = space.hardware_requested ?? space.hardware ?? "";
  return (
    <>
      <Button busy={restart.isPending} disabled={!spaceCan.restart(space)} onClick={() => restart.mutate(false)}>
        Restart
      </Button>
      <Button disabled={!spaceCan.restart(space)} onClick={() => setAsking("factory")}>
        Factory restart
      </Button>
      <Button disabled={!spaceCan.pause(space)} onClick={() => setAsking("pause")}>
        Pause
      </Button>
      {space.model_repo ? (
        <Link className="button" to={paths.newSpace({ model: space.model_repo })}>
          Serve it elsewhere
        </Link>
      ) : null}
      {restart.isError && asking === null ? <FailureNote error={restart.error} title="It was not restarted" /> : null}
      <Confirm
        title="Pause this Space?"
        open={asking === "pause"}
        close={() => setAsking(null)}
        action="Pause it"
        run={() => pause.mutateAsync(undefined)}
      >
        <p>
          <code>{space.space_id}</code> answers nobody until it is restarted.
          {isFree(hardware) ? "" : ` Nothing more is billed for ${hardware} meanwhile.`}
        </p>
      </Confirm>
      <Confirm
        title="Build it anew?"
        open={asking === "factory"}
        close={() => setAsking(null)}
        action="Build it anew"
        kind="primary"
        run={() => restart.mutateAsync(true)}
      >
        <p>
          <code>{space.space_id}</code> is built from nothing, without any cache. It takes as long as the first time.
        </p>
      </Confirm>
    </>
  );
}
