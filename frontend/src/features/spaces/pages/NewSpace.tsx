import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useSearchParams } from "react-router";
import { intentKey } from "../../../api/client";
import { sentence } from "../../../api/errors";
import { type Account, statusQuery } from "../../../api/status";
import { isKnown, walletQuery } from "../../../api/wallet";
import { paths } from "../../../lib/paths";
import { Confirm } from "../../../ui/dialog";
import { FailureNote, Hint } from "../../../ui/failure";
import { Button, Fact, Facts, Field, Note, PageHead, Panel } from "../../../ui/parts";
import { DeployTask } from "../components/DeployTask";
import { HardwareChoice, usePrice, whyNot } from "../components/HardwareChoice";
import { ZeroGpuTime } from "../components/ZeroGpuTime";
import { appWords, isFree, isProcessor, isZero, nameFor, sleepChoices } from "../model";
import { studentsQuery, useCreate } from "../queries";

const payer = (account: Account | undefined) => (account?.state === "signed_in" ? account.namespace : "your namespace");

export default function NewSpace() {
  const [search, setSearch] = useSearchParams();
  const task = search.get("task");
  return (
    <div className="page">
      <PageHead
        title="Serve a student"
        lead="A Space is made, built, started and asked a first question. If any of that fails, nothing half-made stays."
      >
        <Link className="button" to={paths.spaces()}>
          All Spaces
        </Link>
      </PageHead>
      {task ? (
        <Panel title="Deployment">
          <DeployTask
            id={task}
            what="The deployment"
            clear={() =>
              setSearch((now) => {
                now.delete("task");
                return now;
              })
            }
          />
        </Panel>
      ) : (
        <Form
          started={(id) =>
            setSearch((now) => {
              now.set("task", id);
              return now;
            })
          }
        />
      )}
    </div>
  );
}

function Form({ started }: { started: (task: string) => void }) {
  const [search] = useSearchParams();
  const status = useQuery(statusQuery);
  const students = useQuery(studentsQuery);
  const create = useCreate();
  const models = [
    ...new Set(students.data?.items.filter((run) => run.state === "succeeded").map((run) => run.model_repo)),
  ];
  const [typed, setModel] = useState(search.get("model"));
  const model = typed ?? models[0] ?? "";
  const [named, setName] = useState<string | null>(null);
  const name = named ?? nameFor(model);
  const embedded = status.data?.embedded ?? false;
  const [app, setApp] = useState<"gradio" | "bashgym">("gradio");
  const isOwn = app === "bashgym";
  const [chosen, setHardware] = useState<string | null>(null);
  // What costs nothing and is there for everybody comes first.
  const usual = isOwn || embedded || whyNot(status.data, "zero-gpu") ? "cpu-basic" : "zero-gpu";
  const hardware = chosen && (!isOwn || isProcessor(chosen)) ? chosen : usual;
  const [sleep, setSleep] = useState(3600);
  const [visibility, setVisibility] = useState("private");
  const [devMode, setDevMode] = useState(false);
  const [question, setQuestion] = useState("Say hello.");
  const [readToken, setReadToken] = useState("");
  const [key, setKey] = useState(intentKey);
  const [asking, setAsking] = useState(false);
  const price = usePrice(hardware);
  const asksZero = isZero(hardware) && !embedded;
  const zero = useQuery({ ...walletQuery, enabled: asksZero }).data?.zero_gpu;
  const blocked = whyNot(status.data, hardware);
  const owner = payer(status.data?.account);
  const send = async () => {
    const task = await create.mutateAsync({
      key,
      body: {
        model: model.trim(),
        name: name.trim(),
        app,
        hardware,
        visibility,
        dev_mode: devMode,
        question,
        accept_cost: !isFree(hardware),
        ...(isFree(hardware) ? {} : { sleep_seconds: sleep }),
        ...(readToken.trim() ? { secrets: { HF_TOKEN: readToken.trim() } } : {}),
      },
    });
    setKey(intentKey());
    started(task.id);
  };
  const isBilled = !isFree(hardware) && !embedded;
  const needsWord = isBilled || visibility === "public";
  return (
    <>
      <form
        className="split"
        onSubmit={(event) => {
          event.preventDefault();
          if (create.isPending) return;
          if (needsWord) setAsking(true);
          else send().catch(() => {});
        }}
      >
        <div className="stack">
          <Panel title="What it serves">
            <Field
              label="Model repository"
              hint="The revision that is the newest now is pinned: a later push changes nothing by itself."
            >
              {(ids) => (
                <>
                  <input
                    {...ids}
                    className="input mono"
                    list="students"
                    autoComplete="off"
                    spellCheck={false}
                    required
                    placeholder="me/bashgym-student"
                    value={model}
                    onChange={(event) => setModel(event.target.value)}
                  />
                  <datalist id="students">
                    {models.map((one) => (
                      <option key={one} value={one} />
                    ))}
                  </datalist>
                </>
              )}
            </Field>
            <Field label="Name of the Space">
              {(ids) => (
                <input
                  {...ids}
                  className="input mono"
                  autoComplete="off"
                  spellCheck={false}
                  required
                  placeholder="student-demo"
                  value={name}
                  onChange={(event) => setName(event.target.value)}
                />
              )}
            </Field>
            <Field
              label="First question"
              hint="It is only called done when it has answered this. Leave it empty to ask nothing."
            >
              {(ids) => (
                <input
                  {...ids}
                  className="input"
                  value={question}
                  onChange={(event) => setQuestion(event.target.value)}
                />
              )}
            </Field>
          </Panel>
          <Panel title="Where, and for whom">
            <Field
              label="What answers"
              hint={
                isOwn
                  ? "This server's own program, sent with the Space. It runs whole Llama and GGUF models on processors, without Python, and answers seconds after it starts."
                  : "The usual app: every model that transformers runs, adapters too, on every hardware."
              }
            >
              {(ids) => (
                <select
                  {...ids}
                  className="input"
                  value={app}
                  onChange={(event) => setApp(event.target.value === "bashgym" ? "bashgym" : "gradio")}
                >
                  <option value="gradio">{appWords.gradio}</option>
                  <option value="bashgym">{appWords.bashgym}</option>
                </select>
              )}
            </Field>
            <HardwareChoice
              status={status.data}
              value={hardware}
              onlyProcessors={isOwn}
              choose={setHardware}
              sleep={sleep}
              chooseSleep={setSleep}
            />
            <Field label="Who may see it">
              {(ids) => (
                <select
                  {...ids}
                  className="input"
                  value={visibility}
                  onChange={(event) => setVisibility(event.target.value)}
                >
                  <option value="private">Only you (private)</option>
                  <option value="protected">Everybody the app, only you its files (protected)</option>
                  <option value="public">Everybody (public)</option>
                </select>
              )}
            </Field>
            {embedded ? null : (
              <Field
                label="Token that reads the model"
                hint="Only for a private model. Make one that can read this one repository and nothing else; it becomes a secret of the Space."
              >
                {(ids) => (
                  <input
                    {...ids}
                    className="input mono"
                    type="password"
                    autoComplete="off"
                    placeholder="hf_…"
                    value={readToken}
                    onChange={(event) => setReadToken(event.target.value)}
                  />
                )}
              </Field>
            )}
            <label className="check">
              <input type="checkbox" checked={devMode} onChange={(event) => setDevMode(event.target.checked)} />
              <span>Dev Mode: a shell in the running app</span>
            </label>
          </Panel>
        </div>
        <div className="stack aside">
          <Panel title="What happens">
            <Facts>
              <Fact label="Makes">
                <code>
                  {owner}/{name || "…"}
                </code>
              </Fact>
              <Fact label="Serves">
                <code>{model || "…"}</code>
              </Fact>
              <Fact label="Costs">{embedded ? "nothing: it runs on this machine" : price}</Fact>
              {isBilled ? <Fact label="Billed to">{owner}</Fact> : null}
            </Facts>
            {blocked ? (
              <Note tone="warn" title="This hardware is not available to you">
                <p>{sentence(blocked.why)}</p>
                {blocked.unlock ? (
                  <p>
                    <Hint text={sentence(blocked.unlock)} />
                  </p>
                ) : null}
              </Note>
            ) : null}
            {asksZero && !blocked ? (
              <p className="quiet">ZeroGPU time is counted for each visitor, by the quota of each.</p>
            ) : null}
            {asksZero && zero && isKnown(zero) ? <ZeroGpuTime quota={zero} /> : null}
            {create.isError && !asking ? <FailureNote error={create.error} title="It was not begun" /> : null}
            <div className="actions">
              <Button type="submit" kind="primary" busy={create.isPending} disabled={!model.trim() || !name.trim()}>
                Make the Space
              </Button>
            </div>
          </Panel>
        </div>
      </form>
      <Confirm
        title={isBilled ? "Use hardware that is billed?" : "Show it to everybody?"}
        open={asking}
        close={() => setAsking(false)}
        action={isBilled ? "Make it and pay" : "Make it public"}
        kind="primary"
        run={send}
      >
        {isBilled ? (
          <p>
            <code>{hardware}</code> costs {price}, billed to <b>{owner}</b>, from when it starts until{" "}
            {sleep === 0 ? (
              "you pause or delete it: it never sleeps"
            ) : (
              <>it sleeps ({sleepChoices.find(([seconds]) => seconds === sleep)?.[1]}), is paused or is deleted</>
            )}
            . What that costs is set aside in the budget first, a day of it where it never sleeps.
          </p>
        ) : null}
        {visibility === "public" ? (
          <p>
            Everybody on the internet may use <code>{name}</code>, and read its files.
          </p>
        ) : null}
      </Confirm>
    </>
  );
}
