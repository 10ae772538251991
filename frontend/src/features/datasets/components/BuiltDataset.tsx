import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useSearchParams } from "react-router";
import { intentKey } from "../../../api/client";
import { count } from "../../../lib/format";
import { paths } from "../../../lib/paths";
import { Confirm } from "../../../ui/dialog";
import { FailureNote } from "../../../ui/failure";
import { Load } from "../../../ui/load";
import { Badge, Button, Field, Note, PageHead, Panel, Pre, Skeleton } from "../../../ui/parts";
import { TaskState } from "../../../ui/task";
import { toast } from "../../../ui/toasts";
import { search } from "../model";
import { BuiltRows } from "./BuiltRows";
import { findingsQuery, useDecide, useUpload } from "../queries";

/** A dataset that was built here: what the secret gate found, and its way to the Hub. */
export function BuiltDataset({ name }: { name: string }) {
  return (
    <>
      <PageHead title={name} lead="Built on this machine. Nothing of it leaves before the secret gate has read it." />
      <div className="split">
        <div className="stack">
          <Findings name={name} />
          <BuiltRows name={name} />
        </div>
        <Upload name={name} />
      </div>
    </>
  );
}

function Findings({ name }: { name: string }) {
  const findings = useQuery(findingsQuery(name));
  const decide = useDecide(name);
  const [letting, setLetting] = useState<string | null>(null);
  return (
    <Panel title="What the secret gate finds">
      {decide.isError ? <FailureNote error={decide.error} title="It was not decided" /> : null}
      <Load query={findings} skeleton={<Skeleton lines={5} />}>
        {(review) =>
          review.findings.length === 0 ? (
            <Note tone="good" title="Nothing is left in it that looks like a secret">
              <p>What was found while it was built is taken out already.</p>
            </Note>
          ) : (
            <ul className="stack">
              {review.findings.map((one) => (
                <li key={one.id} className="stack">
                  <span className="between">
                    <span className="row">
                      <Badge tone="bad">{one.kind.replaceAll("_", " ")}</Badge>
                      <span className="faint">
                        {one.file}:{one.line}, in {count(one.places, "place")}
                      </span>
                    </span>
                    <span className="actions">
                      <Button
                        busy={decide.isPending && decide.variables?.id === one.id}
                        onClick={() => decide.mutate({ id: one.id, allow: false })}
                      >
                        Never let it through
                      </Button>
                      <Button onClick={() => setLetting(one.id)}>It is no secret</Button>
                    </span>
                  </span>
                  <Pre text={one.context} />
                </li>
              ))}
            </ul>
          )
        }
      </Load>
      <Confirm
        title="Let this value through?"
        open={letting !== null}
        close={() => setLetting(null)}
        action="Let it through"
        run={async () => {
          if (!letting) return;
          await decide.mutateAsync({ id: letting, allow: true });
          toast("This value is let through from now on");
        }}
      >
        <p>It holds for this value everywhere, on the command line too. If it is a secret, it will be on the Hub.</p>
      </Confirm>
    </Panel>
  );
}

function Upload({ name }: { name: string }) {
  const upload = useUpload();
  const [repo, setRepo] = useState(name);
  const [isPublic, setPublic] = useState(false);
  const [asking, setAsking] = useState(false);
  const [key, setKey] = useState(intentKey);
  const [params, setParams] = useSearchParams();
  const send = async () => {
    const task = await upload.mutateAsync({ name, repo, public: isPublic, key });
    setKey(intentKey());
    // The address knows the task: a page that is loaded again finds it.
    setParams((now) => search(now, { task: task.id }), { replace: true });
  };
  return (
    <Panel title="Send it to the Hub">
      <form
        className="stack"
        onSubmit={(event) => {
          event.preventDefault();
          if (!repo.trim() || upload.isPending) return;
          if (isPublic) setAsking(true);
          else send().catch(() => {});
        }}
      >
        <Field label="Repository" hint="Your own namespace, unless the name says another.">
          {(ids) => (
            <input
              {...ids}
              className="input mono"
              value={repo}
              spellCheck={false}
              onChange={(event) => setRepo(event.target.value)}
            />
          )}
        </Field>
        <label className="check">
          <input type="checkbox" checked={isPublic} onChange={(event) => setPublic(event.target.checked)} />
          <span>Everybody may read it</span>
        </label>
        {upload.isError && !asking ? <FailureNote error={upload.error} title="It was not sent" /> : null}
        <div>
          <Button type="submit" kind="primary" busy={upload.isPending} disabled={!repo.trim()}>
            Send to the Hub
          </Button>
        </div>
      </form>
      <TaskState
        id={params.get("task") ?? ""}
        label="Sending"
        done={(task) => {
          const sent = (task.result as { repo_id?: string } | null)?.repo_id ?? repo;
          return (
            <Note tone="good" title="It is on the Hub">
              <p>
                <Link to={paths.dataset(sent)}>{sent}</Link>
              </p>
            </Note>
          );
        }}
      />
      <Confirm
        title="Make it public?"
        open={asking}
        close={() => setAsking(false)}
        action="Send it for everybody"
        run={send}
      >
        <p>
          Everybody on the internet may read <code>{repo}</code>: what your agents did, with their tools' output.
        </p>
      </Confirm>
    </Panel>
  );
}
