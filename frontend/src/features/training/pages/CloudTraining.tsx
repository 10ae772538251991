import { useQuery } from "@tanstack/react-query";
import { useDeferredValue, useEffect, useMemo } from "react";
import { Link, useNavigate, useSearchParams } from "react-router";
import { intentKey } from "../../../api/client";
import { type Status, statusQuery } from "../../../api/status";
import { paths } from "../../../lib/paths";
import { FailureNote } from "../../../ui/failure";
import { Load } from "../../../ui/load";
import { Button, Copyable, Empty, Field, Note, PageHead, Panel, Skeleton } from "../../../ui/parts";
import { HardwareTable } from "../components/HardwareTable";
import { PlanView } from "../components/PlanView";
import { methods, presets, recipes, requestOf, timeoutChoices } from "../model";
import { datasetsQuery, hardwareQuery, planQuery, startedRunQuery } from "../queries";

export default function CloudTraining() {
  const [search] = useSearchParams();
  const status = useQuery(statusQuery);
  const started = search.get("run");
  if (started) return <Started run={started} />;
  return (
    <div className="page">
      <PageHead
        title="Train a student"
        lead="Choose what it learns from and where. The plan on the right says what that takes and costs; nothing starts before you say so."
      />
      <Load query={status} skeleton={<Skeleton lines={8} />}>
        {(data) => <TrainForm status={data} />}
      </Load>
    </div>
  );
}

function TrainForm({ status }: { status: Status }) {
  const [search, setSearch] = useSearchParams();
  const datasets = useQuery(datasetsQuery);
  const hardware = useQuery(hardwareQuery);
  const request = useDeferredValue(useMemo(() => requestOf(search), [search]));
  const plan = useQuery(planQuery(request));
  const base = search.get("base") ?? "";
  const embedded = !search.has("base");
  const set = (changes: Record<string, string | null>) =>
    setSearch(
      (now) => {
        for (const [name, value] of Object.entries(changes)) {
          if (value === null || (value === "" && name !== "base")) now.delete(name);
          else now.set(name, value);
        }
        return now;
      },
      { replace: true },
    );
  const names = datasets.data?.items.map((one) => one.repo_id) ?? [];
  const only = names.length === 1 ? names[0] : undefined;
  const dataset = search.get("dataset");
  useEffect(() => {
    // With one dataset there is nothing to choose.
    if (!dataset && only) setSearch((now) => new URLSearchParams([...now, ["dataset", only]]), { replace: true });
  }, [dataset, only, setSearch]);
  // One key a form: pressing twice starts once.
  const key = useMemo(() => ({ of: request, key: intentKey() }).key, [request]);

  if (datasets.data && names.length === 0 && !dataset) return <NoDataset />;
  const choice = (name: string, words: Record<string, string>, fallback: string) => ({
    value: search.get(name) ?? fallback,
    onChange: (event: { target: { value: string } }) =>
      set({ [name]: event.target.value === fallback ? null : event.target.value }),
    options: Object.entries(words).map(([value, label]) => (
      <option key={value} value={value}>
        {label}
      </option>
    )),
  });
  const recipe = choice("recipe", recipes, "sft");
  const method = choice("method", methods, "lora");
  const preset = choice("preset", presets, "small");
  return (
    <div className="split split--even">
      <div className="stack">
        {search.get("from") ? (
          <Note tone="info" title="This goes on from an earlier job">
            <p>
              Same dataset as <Link to={paths.job(search.get("from") ?? "")}>{search.get("from")}</Link>. It resumes
              from that training’s last checkpoint, where the same settings are kept.
            </p>
          </Note>
        ) : null}
        <Panel title="1. What it learns from">
          {datasets.isError ? <FailureNote error={datasets.error} retry={() => void datasets.refetch()} /> : null}
          <Field label="Dataset on the Hub" hint="A repository with train and validation rows.">
            {(ids) => (
              <>
                <input
                  {...ids}
                  className="input mono"
                  list="datasets"
                  autoComplete="off"
                  spellCheck={false}
                  placeholder="me/bashgym-sessions"
                  defaultValue={dataset ?? ""}
                  key={dataset ?? "none"}
                  onBlur={(event) => set({ dataset: event.target.value.trim() })}
                  onKeyDown={(event) => event.key === "Enter" && event.currentTarget.blur()}
                />
                <datalist id="datasets">
                  {names.map((name) => (
                    <option key={name} value={name} />
                  ))}
                </datalist>
              </>
            )}
          </Field>
        </Panel>
        <Panel title="2. What it becomes">
          <fieldset className="choices">
            <legend className="sr">What is trained</legend>
            <label className="choice">
              <input
                type="radio"
                name="kind"
                checked={embedded}
                onChange={() => set({ base: null, recipe: null, method: null, epochs: null })}
              />
              <span>
                <b>A small student from nothing</b>
                <span className="faint">
                  Trained by the embedded engine, on any CPU, in minutes. No Python, no GPU.
                </span>
              </span>
            </label>
            <label className="choice">
              <input type="radio" name="kind" checked={!embedded} onChange={() => set({ base: "", preset: null })} />
              <span>
                <b>A tuned open model</b>
                <span className="faint">Trained with TRL on a GPU of the Hub, from a base model that you name.</span>
              </span>
            </label>
          </fieldset>
          {embedded ? (
            <Field label="Size">
              {(ids) => (
                <select {...ids} className="input" value={preset.value} onChange={preset.onChange}>
                  {preset.options}
                </select>
              )}
            </Field>
          ) : (
            <div className="grid grid--tight">
              <Field label="Base model" hint="Its licence and terms apply to the student.">
                {(ids) => (
                  <input
                    {...ids}
                    className="input mono"
                    placeholder="Qwen/Qwen3-0.6B"
                    autoComplete="off"
                    spellCheck={false}
                    defaultValue={base}
                    onBlur={(event) => set({ base: event.target.value.trim() })}
                    onKeyDown={(event) => event.key === "Enter" && event.currentTarget.blur()}
                  />
                )}
              </Field>
              <Field label="Recipe">
                {(ids) => (
                  <select {...ids} className="input" value={recipe.value} onChange={recipe.onChange}>
                    {recipe.options}
                  </select>
                )}
              </Field>
              <Field label="Method">
                {(ids) => (
                  <select {...ids} className="input" value={method.value} onChange={method.onChange}>
                    {method.options}
                  </select>
                )}
              </Field>
              <Field label="Passes over the data">
                {(ids) => (
                  <input
                    {...ids}
                    className="input"
                    type="number"
                    min="0.1"
                    max="1000"
                    step="any"
                    placeholder="3"
                    value={search.get("epochs") ?? ""}
                    onChange={(event) => set({ epochs: event.target.value })}
                  />
                )}
              </Field>
            </div>
          )}
          <Field label="Model repository" hint="Where it goes. It is made private where it is new.">
            {(ids) => (
              <input
                {...ids}
                className="input mono"
                placeholder="bashgym-student"
                autoComplete="off"
                spellCheck={false}
                defaultValue={search.get("output") ?? ""}
                onBlur={(event) => set({ output: event.target.value.trim() })}
              />
            )}
          </Field>
        </Panel>
        <Panel title="3. Where, and for how long" flush>
          <div className="panel__body">
            <Field
              label="Ended after"
              hint="What it has reached by then is kept as a checkpoint; the same training goes on from there."
            >
              {(ids) => (
                <select
                  {...ids}
                  className="input"
                  value={search.get("timeout") ?? ""}
                  onChange={(event) => set({ timeout: event.target.value })}
                >
                  <option value="">As measured, or two hours</option>
                  {timeoutChoices.map(([seconds, label]) => (
                    <option key={seconds} value={seconds}>
                      {label}
                    </option>
                  ))}
                </select>
              )}
            </Field>
          </div>
          <Load
            query={hardware}
            skeleton={
              <div className="panel__body">
                <Skeleton lines={8} />
              </div>
            }
          >
            {(list) => (
              <HardwareTable
                hardware={list}
                chosen={search.get("flavor")}
                planned={plan.data?.flavor ?? null}
                cheaper={plan.data?.cheaper_flavors ?? []}
                choose={(flavor) => set({ flavor })}
              />
            )}
          </Load>
        </Panel>
      </div>
      <div className="aside">
        <Panel title="The plan">
          {request === null ? (
            <p className="quiet">Choose a dataset, and the plan is made.</p>
          ) : (
            <Load query={plan} skeleton={<Skeleton lines={12} />}>
              {(data) => <PlanView plan={data} request={request} status={status} busy={plan.isFetching} intent={key} />}
            </Load>
          )}
        </Panel>
      </div>
    </div>
  );
}

function NoDataset() {
  return (
    <Panel>
      <Empty
        title="There is no dataset yet"
        action={
          <Link className="button" data-kind="primary" to={paths.datasets()}>
            Build a dataset
          </Link>
        }
      >
        <p>
          A student learns from sessions of your coding agents. Build a dataset from them, or let one command do all of
          it:
        </p>
        <Copyable text="bashgym run" label="Copy the command" />
      </Empty>
    </Panel>
  );
}

/** Between the start and the job: seconds, in which one sees what happens. */
function Started({ run }: { run: string }) {
  const query = useQuery(startedRunQuery(run));
  const navigate = useNavigate();
  const [search] = useSearchParams();
  const job = query.data?.job_id;
  useEffect(() => {
    if (job) void navigate(paths.job(job), { replace: true });
  }, [job, navigate]);
  const state = query.data?.state;
  const detail = query.data?.detail as { reason?: string } | undefined;
  return (
    <div className="page">
      <PageHead
        title="Starting the training"
        lead={query.data ? `${query.data.dataset_repo} becomes ${query.data.model_repo}.` : undefined}
      />
      <Load query={query}>
        {() =>
          state === "failed" || state === "canceled" ? (
            <div role="alert">
              <Note tone="bad" title={state === "failed" ? "It did not start" : "It was canceled"}>
                <p>{detail?.reason}</p>
                <div className="actions">
                  <Link
                    className="button"
                    to={`/train?${new URLSearchParams([...search].filter(([name]) => name !== "run")).toString()}`}
                  >
                    Back to the plan
                  </Link>
                </div>
              </Note>
            </div>
          ) : (
            <p role="status">
              Sending the job. Its price is set aside first, and this page goes on to it as soon as it is there. You may
              close it: nothing depends on it.
            </p>
          )
        }
      </Load>
      <div>
        <Button onClick={() => void navigate(paths.jobs())}>All jobs</Button>
      </div>
    </div>
  );
}
