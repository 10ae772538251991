import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { Link, useParams, useSearchParams } from "react-router";
import { number } from "../../../lib/format";
import { paths } from "../../../lib/paths";
import { Load } from "../../../ui/load";
import { ShowMore } from "../../../ui/more";
import { PageHead, Panel, Skeleton } from "../../../ui/parts";
import { AboutPanel, QualityOf, RowsOf } from "../components/About";
import { StepView } from "../components/StepView";
import { cutPath } from "../model";
import { type SessionName, sessionQuery, stepsQuery } from "../queries";
import { type Conversation, shownSteps } from "../steps";

const place = (text: string | null, least: number) => Math.max(least, Math.floor(Number(text)) || least);

/** One session, read as a conversation. Its file is the address; what is chosen in it is in the query. */
export default function Session() {
  const file = `/${useParams()["*"] ?? ""}`;
  const [search] = useSearchParams();
  const name = { file, id: search.get("id") ?? "" };
  const session = useQuery(sessionQuery(name));
  const conversation = place(search.get("conversation"), 0);
  const { folder, name: title } = cutPath(file);
  return (
    <div className="page">
      <PageHead title={name.id || title} lead={name.id ? file : folder}>
        <Link className="button" to={paths.sessions()}>
          All sessions
        </Link>
      </PageHead>
      <div className="split">
        <Steps name={name} conversation={conversation} at={place(search.get("at"), 1)} />
        <Load query={session} skeleton={<Skeleton lines={14} />}>
          {(all) => <Side all={all} name={name} chosen={conversation} />}
        </Load>
      </div>
    </div>
  );
}

function Side({ all, name, chosen }: { all: Conversation[]; name: SessionName; chosen: number }) {
  const one = all[chosen];
  return (
    <div className="stack">
      {all.length > 1 ? (
        <Panel title="Conversations">
          <ul className="stack">
            {all.map((each, at) => (
              <li key={each.session_id} className="between">
                <Link
                  to={paths.session(name.file, { id: name.id, conversation: at || undefined })}
                  aria-current={at === chosen ? "page" : undefined}
                  className="cut"
                >
                  {each.parent_session_id ? `Subagent ${each.session_id.split("/").pop()}` : "The session itself"}
                </Link>
                <span className="faint nowrap">{number(each.steps)} steps</span>
              </li>
            ))}
          </ul>
        </Panel>
      ) : null}
      {one ? (
        <>
          <AboutPanel one={one} />
          <QualityOf one={one} name={name} place={chosen} />
          <RowsOf session={one.session_id} />
        </>
      ) : null}
    </div>
  );
}

function Steps({ name, conversation, at }: { name: SessionName; conversation: number; at: number }) {
  const steps = useInfiniteQuery(stepsQuery(name, conversation, at));
  const shown = useMemo(() => shownSteps(steps.data?.pages.flatMap((page) => page.items) ?? []), [steps.data]);
  return (
    <Panel
      title="What happened"
      actions={
        at > 1 ? (
          <Link
            className="button"
            to={paths.session(name.file, { id: name.id, conversation: conversation || undefined })}
          >
            From the beginning
          </Link>
        ) : null
      }
    >
      <p className="quiet">Secrets and names are taken out of what is shown here, as they are of a dataset.</p>
      <Load query={steps} skeleton={<Skeleton lines={16} />}>
        {() =>
          shown.length === 0 ? (
            <p className="quiet">Nothing was said in it.</p>
          ) : (
            <ol className="talk">
              {shown.map((one) => (
                <StepView key={one.step.number} shown={one} />
              ))}
            </ol>
          )
        }
      </Load>
      <ShowMore query={steps} />
    </Panel>
  );
}
