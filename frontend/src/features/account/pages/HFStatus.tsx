import { useQuery } from "@tanstack/react-query";
import { Link } from "react-router";
import { sentence } from "../../../api/errors";
import { bytes, count, dateTime, duration, number, usd } from "../../../lib/format";
import { paths } from "../../../lib/paths";
import { Hint } from "../../../ui/failure";
import { Load } from "../../../ui/load";
import { Badge, Button, Fact, Facts, Figure, Meter, Note, PageHead, Panel, Skeleton, Time } from "../../../ui/parts";
import { type Account, type Capability, type Status, statusQuery } from "../../../api/status";
import { isKnown, type Part, type Wallet, walletQuery } from "../../../api/wallet";
import { accountWords, capabilityWords, planLabel } from "../model";

export default function HFStatus() {
  const status = useQuery(statusQuery);
  const wallet = useQuery(walletQuery);
  const refresh = () => {
    void status.refetch();
    void wallet.refetch();
  };
  return (
    <div className="page">
      <PageHead title="Account" lead="Who you are at the Hub, what that lets you do, and what it has cost.">
        <Button busy={status.isFetching || wallet.isFetching} onClick={refresh}>
          Check again
        </Button>
      </PageHead>
      <Load query={status} skeleton={<Skeleton lines={8} />}>
        {(data) => (
          <>
            <div className="grid">
              <Who status={data} />
              <Panel title="Wallet">
                <Load query={wallet}>{(money) => <WalletParts wallet={money} embedded={data.embedded} />}</Load>
              </Panel>
              {data.embedded ? null : (
                <Panel title="ZeroGPU">
                  <Load query={wallet}>{(money) => <ZeroGpu wallet={money} />}</Load>
                </Panel>
              )}
            </div>
            <Capabilities status={data} />
          </>
        )}
      </Load>
    </div>
  );
}

function Who({ status }: { status: Status }) {
  const { account, embedded, endpoint } = status;
  const words = accountWords[account.state];
  return (
    <Panel
      title={
        <span className="row">
          {embedded ? "Embedded Hub" : "Hugging Face"} <Badge tone={words.tone}>{words.label}</Badge>
          {account.state === "signed_in" && !embedded ? <PlanBadge plan={account.plan} /> : null}
        </span>
      }
    >
      {embedded ? (
        <p className="quiet">
          Everything runs against a Hub on this machine: no account, no network, no bill. A token switches to Hugging
          Face; nothing else changes.
        </p>
      ) : null}
      <Told account={account} />
      <Facts>
        {endpoint ? (
          <Fact label="Address">
            <code>{endpoint}</code>
          </Fact>
        ) : null}
        {account.state === "signed_in" ? (
          <>
            <Fact label="Name">{account.name}</Fact>
            <Fact label="Works and pays as">{account.namespace}</Fact>
            {account.orgs.length > 0 ? (
              <Fact label="Organisations">
                <span className="row">
                  {account.orgs.map((org) => (
                    <span key={org}>
                      {org} <Badge>{planLabel(account.org_plans[org] ?? "unknown")}</Badge>
                    </span>
                  ))}
                </span>
              </Fact>
            ) : null}
            {embedded ? null : (
              <Fact label="Token">
                {account.token.name ?? "unnamed"}
                {account.token.role
                  ? `, may ${account.token.role === "fineGrained" ? "do what is listed below" : account.token.role}`
                  : ""}
                {account.token.expires_at ? `, until ${dateTime(account.token.expires_at)}` : ""}
              </Fact>
            )}
            <Fact label="Checked">
              <Time at={account.checked_at} />
            </Fact>
          </>
        ) : null}
      </Facts>
      <div className="actions">
        <Link className="button" to={paths.settings()}>
          {account.state === "signed_in" && !embedded ? "Change the token" : "Add a token"}
        </Link>
      </div>
    </Panel>
  );
}

const PlanBadge = ({ plan }: { plan: string }) => (
  <Badge tone={plan === "free" ? "plain" : "accent"}>{planLabel(plan)}</Badge>
);

function Told({ account }: { account: Account }) {
  if (account.state === "signed_in")
    return account.stale ? (
      <Note tone="warn" title="This may be old">
        <p>{account.why ? sentence(account.why) : null}</p>
      </Note>
    ) : null;
  if (account.state === "unknown")
    return <Note tone="warn" title="This account is in a state that this version does not know" />;
  return (
    <Note tone={account.state === "refused" ? "bad" : "info"} title={sentence(account.why)}>
      {"next" in account ? (
        <p>
          <Hint text={sentence(account.next)} />
        </p>
      ) : null}
    </Note>
  );
}

function Unknown({ part }: { part: Part<unknown> }) {
  if (!("why" in part)) return null;
  return (
    <span className="faint">
      {sentence(part.why)}
      {part.unlock ? (
        <>
          {" "}
          <Hint text={sentence(part.unlock)} />
        </>
      ) : null}
    </span>
  );
}

function WalletParts({ wallet, embedded }: { wallet: Wallet; embedded: boolean }) {
  const parts: Part<unknown>[] = [wallet.spend, wallet.jobs, wallet.inference, wallet.storage];
  const why = shared(parts.map((part) => ("why" in part ? part.why : part.state)));
  if (!embedded && why && !isKnown(wallet.spend)) return <Unknown part={wallet.spend} />;
  if (embedded && !isKnown(wallet.spend))
    return (
      <>
        <Figure label="Spent at Hugging Face" value={usd(0)} />
        <Unknown part={wallet.spend} />
      </>
    );
  const { spend, jobs, inference, storage, plan_credit: credit, balance } = wallet;
  return (
    <>
      {isKnown(spend) ? (
        <Figure
          label={spend.period_end ? `Spent, until ${dateTime(spend.period_end)}` : "Spent in this period"}
          value={usd(spend.total_usd)}
        >
          {wallet.owner ? `billed to ${wallet.owner}` : null}
        </Figure>
      ) : (
        <Unknown part={spend} />
      )}
      <Facts>
        <Fact label="Jobs">
          {isKnown(jobs) ? (
            <>
              {usd(jobs.usd)}, {number(jobs.minutes)} min in {count(jobs.jobs, "job")}
              {jobs.has_access ? null : <Badge tone="warn">no access</Badge>}
            </>
          ) : (
            <Unknown part={jobs} />
          )}
        </Fact>
        <Fact label="Inference">
          {isKnown(inference) ? (
            <div className="stack">
              <span>
                {usd(inference.used_usd)}
                {inference.included_usd === null ? "" : ` of ${usd(inference.included_usd)} included`}
              </span>
              {inference.included_usd ? (
                <Meter
                  label="Inference credit used"
                  share={inference.used_usd / inference.included_usd}
                  tone={inference.used_usd > inference.included_usd ? "bad" : "accent"}
                />
              ) : null}
            </div>
          ) : (
            <Unknown part={inference} />
          )}
        </Fact>
        <Fact label="Storage">
          {isKnown(storage) ? (
            <>
              {bytes(storage.private_bytes)} private, {bytes(storage.public_bytes)} public in{" "}
              {count(storage.repositories, "repository", "repositories")}
            </>
          ) : (
            <Unknown part={storage} />
          )}
        </Fact>
        {credit ? (
          <Fact label="Plan includes">
            {usd(credit.usd)}
            {credit.per_seat ? " a seat" : ""} for {credit.pays_for}
          </Fact>
        ) : null}
        <Fact label="Balance">
          {sentence(balance.why)} <a href={balance.url}>Open the billing page</a>
        </Fact>
      </Facts>
    </>
  );
}

function ZeroGpu({ wallet }: { wallet: Wallet }) {
  const part = wallet.zero_gpu;
  if (!isKnown(part)) return <Unknown part={part} />;
  return (
    <>
      <Figure label="Left today" value={duration(part.left_seconds)}>
        of {duration(part.base_seconds)}
        {part.over_quota_seconds > 0 ? `, ${duration(part.over_quota_seconds)} bought beyond` : ""}
      </Figure>
      <Meter
        label="ZeroGPU time left"
        share={part.base_seconds > 0 ? part.left_seconds / part.base_seconds : 0}
        tone={part.left_seconds <= 0 ? "bad" : "accent"}
      />
      {part.resets_at ? (
        <p className="faint">
          It is full again <Time at={part.resets_at} />.
        </p>
      ) : null}
    </>
  );
}

function Capabilities({ status }: { status: Status }) {
  const order: Capability["state"][] = ["available", "limited", "unavailable"];
  const sorted = [...status.capabilities].sort((a, b) => order.indexOf(a.state) - order.indexOf(b.state));
  const common = sharedUnlock(sorted);
  const reason = shared(sorted.map((one) => (one.state === "unavailable" ? one.why : null)));
  return (
    <Panel title={status.embedded ? "What an account at Hugging Face would add" : "What you can do"} flush>
      {status.embedded ? (
        <p className="panel__body quiet">
          On the embedded Hub all of this works without an account, on this machine. The list says what it takes at
          Hugging Face.
        </p>
      ) : null}
      {common ? (
        <p className="panel__body">
          <span>
            <b>To unlock the rest:</b> <Hint text={sentence(common)} />{" "}
            {reason && !status.embedded ? <Hint text={sentence(reason)} /> : null}
          </span>
        </p>
      ) : null}
      <div className="scroll">
        <table className="table table--stack">
          <thead>
            <tr>
              <th scope="col">Feature</th>
              <th scope="col">{status.embedded ? "Without a token" : "State"}</th>
              <th scope="col">Why, and how to unlock it</th>
            </tr>
          </thead>
          <tbody>
            {sorted.map((one) => (
              <tr key={one.feature}>
                <th scope="row" className="table__name">
                  {one.title}
                </th>
                <td>
                  <Badge tone={capabilityWords[one.state].tone}>{capabilityWords[one.state].label}</Badge>
                </td>
                <td>
                  {one.limit ? <p>{sentence(one.limit)}</p> : null}
                  {one.why && one.why !== reason && !(status.embedded && one.state === "unavailable") ? (
                    <p>
                      <Hint text={sentence(one.why)} />
                    </p>
                  ) : null}
                  {one.unlock ? (
                    <p className={one.why ? "quiet" : ""}>
                      <Hint text={common ? scopeOf(one.unlock) : sentence(one.unlock)} />
                    </p>
                  ) : null}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Panel>
  );
}

/** What all that is locked needs alike, when it is the same for all: said once, above. */
function shared(texts: readonly (string | null)[]): string | null {
  const said = texts.filter((text) => text !== null);
  return said.length > 1 && said.every((text) => text === said[0]) ? (said[0] ?? null) : null;
}

function sharedUnlock(capabilities: readonly Capability[]): string | null {
  const locked = capabilities.flatMap((one) => (one.unlock ? [one.unlock.split(" (it needs ")[0] ?? ""] : []));
  return shared(locked);
}

function scopeOf(unlock: string): string {
  const scope = / \(it needs ([^)]+)\)/.exec(unlock)?.[1];
  return scope ? `A token with \`${scope}\`` : "A token";
}
