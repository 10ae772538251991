import { useState } from "react";
import { useNavigate, useSearchParams } from "react-router";
import { sentence } from "../../../api/errors";
import type { Status } from "../../../api/status";
import { bytes, count, duration, number, percent, usd } from "../../../lib/format";
import { Confirm } from "../../../ui/dialog";
import { Hint } from "../../../ui/failure";
import { Badge, Button, Fact, Facts, Figure, Note } from "../../../ui/parts";
import type { TrainPlan, TrainRequest } from "../model";
import { useStartTraining } from "../queries";

const memoryParts = [
  ["weights_bytes", "Weights"],
  ["gradients_bytes", "Gradients"],
  ["optimizer_bytes", "Optimizer"],
  ["activations_bytes", "Activations"],
  ["overhead_bytes", "Overhead"],
] as const;

/** Where the plan names an option of the command line, the form has a place for it. */
const here: Record<string, string> = {
  timeout_needed:
    "Choose on this page after how long it is ended. What it has reached by then is kept, and the same training goes on from there.",
  fit_unknown: "Choose hardware on this page.",
};

export function PlanView({
  plan,
  request,
  status,
  busy,
  intent,
}: {
  plan: TrainPlan;
  request: TrainRequest;
  status: Status;
  busy: boolean;
  intent: string;
}) {
  const [asking, setAsking] = useState(false);
  const start = useStartTraining();
  const navigate = useNavigate();
  const [search] = useSearchParams();
  const payer = status.account.state === "signed_in" ? status.account.namespace : plan.model_repo.split("/")[0];
  const { dataset, memory } = plan;
  const stopped = plan.problems.length > 0;
  return (
    <div className="stack" aria-busy={busy}>
      <div className="figures">
        <Figure label="Expected" value={usd(plan.price_expected_usd)}>
          {plan.seconds_expected === null ? "not measured yet" : `about ${duration(plan.seconds_expected)}`}
        </Figure>
        <Figure label="At most" value={usd(plan.price_worst_usd)}>
          {plan.timeout_seconds === null ? "no time limit set" : `ended after ${duration(plan.timeout_seconds)}`}
        </Figure>
      </div>
      {status.embedded ? (
        <p className="faint">On the embedded Hub prices are those of Hugging Face, and nothing is charged.</p>
      ) : null}
      {plan.problems.map((one) => (
        <Note key={one.code} tone="bad" title={sentence(one.message)}>
          {one.next ? (
            <p>
              <Hint text={here[one.code] ?? sentence(one.next)} />
            </p>
          ) : null}
        </Note>
      ))}
      {plan.warnings.map((one) => (
        <Note key={one.code} tone="warn" title={sentence(one.message)}>
          {one.next ? (
            <p>
              <Hint text={here[one.code] ?? sentence(one.next)} />
            </p>
          ) : null}
        </Note>
      ))}
      <Facts>
        <Fact label="Billed to">{payer}</Fact>
        <Fact label="Trained by">
          {plan.backend === "embedded" ? "The embedded engine" : plan.backend.toUpperCase()}
        </Fact>
        <Fact label="Hardware">
          <span className="row">
            <code>{plan.flavor ?? "none fits"}</code>
            {plan.fits === null ? null : (
              <Badge tone={plan.fits ? "good" : "bad"}>{plan.fits ? "fits" : "does not fit"}</Badge>
            )}
          </span>
        </Fact>
        <Fact label="Goes to">
          <code>{plan.model_repo}</code>
        </Fact>
        {plan.base_model ? (
          <Fact label="Base model">
            <code>{plan.base_model.repo_id}</code>
            {plan.base_model.parameters ? `, ${number(plan.base_model.parameters / 1e6)} M weights` : ""}
            {plan.base_model.gated ? ", gated" : ""}
          </Fact>
        ) : null}
        {dataset ? (
          <Fact label="Dataset">
            <code>{dataset.repo_id}</code> at <code>{dataset.revision.slice(0, 8)}</code>
            {dataset.rows_measured > 0 ? (
              <span className="faint">
                {" "}
                {count(dataset.rows_train, "row")} and {number(dataset.rows_val)} to validate,{" "}
                {number(dataset.mean_tokens)} tokens each
                {dataset.cut_share > 0 ? `, ${percent(dataset.cut_share)} are cut` : ""}
                {dataset.rows_lost > 0 ? `, ${number(dataset.rows_lost)} do not render` : ""}
              </span>
            ) : null}
          </Fact>
        ) : null}
        {plan.steps === null ? null : <Fact label="Steps">{number(plan.steps)}</Fact>}
        {plan.tokens === null ? null : <Fact label="Tokens">{number(plan.tokens)}</Fact>}
      </Facts>
      {memory ? (
        <details>
          <summary>Memory: {bytes(memory.total_bytes)}</summary>
          <Facts>
            {memoryParts.map(([name, label]) => (
              <Fact key={name} label={label}>
                {bytes(memory[name])}
              </Fact>
            ))}
          </Facts>
        </details>
      ) : null}
      {plan.request ? (
        <details>
          <summary>Exactly what will be sent</summary>
          {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it is scrolled with the keys */}
          <pre className="pre" tabIndex={0}>
            {JSON.stringify(plan.request, null, 2)}
          </pre>
        </details>
      ) : null}
      <div className="actions">
        <Button kind="primary" disabled={stopped || busy} onClick={() => setAsking(true)}>
          Start the training
        </Button>
        {stopped ? <span className="faint">The problems above have to be solved first.</span> : null}
      </div>
      <Confirm
        title="Start this training?"
        open={asking}
        close={() => setAsking(false)}
        action="Start the training"
        kind="primary"
        run={async () => {
          const { run } = await start.mutateAsync({ request, key: intent });
          const next = new URLSearchParams(search);
          next.set("run", run.id);
          void navigate(`/train?${next.toString()}`);
        }}
      >
        <p>
          A job on <code>{plan.flavor}</code> trains <code>{plan.model_repo}</code> from{" "}
          <code>{dataset?.repo_id ?? request.dataset}</code>.
        </p>
        <p>
          {status.embedded ? (
            <>
              It runs on this machine. Nothing is charged; at Hugging Face it would cost at most{" "}
              {usd(plan.price_worst_usd)}.
            </>
          ) : (
            <>
              It costs{" "}
              {plan.price_expected_usd === null
                ? "an amount nobody has measured yet"
                : `about ${usd(plan.price_expected_usd)}`}
              , and at most <b>{usd(plan.price_worst_usd)}</b>, billed to <b>{payer}</b>.
            </>
          )}
        </p>
      </Confirm>
    </div>
  );
}
