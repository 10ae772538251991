import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useNavigate } from "react-router";
import { intentKey } from "../../../api/client";
import { statusQuery } from "../../../api/status";
import { paths } from "../../../lib/paths";
import { Confirm } from "../../../ui/dialog";
import { Button, Field, Panel } from "../../../ui/parts";
import { toast } from "../../../ui/toasts";
import { isFree, type Space, spaceCan } from "../model";
import { useDuplicate, useFit, usePromote, useRemoveSpace, useRollback, useUpdate } from "../queries";
import { usePrice } from "./HardwareChoice";

type Asking = "update" | "fit" | "rollback" | "promote" | "duplicate" | "delete" | null;

/** What can be done to what a Space serves, and to the Space as a whole. */
export function SpaceChange({ space, started }: { space: Space; started: (task: string) => void }) {
  const embedded = useQuery(statusQuery).data?.embedded ?? false;
  const [asking, setAsking] = useState<Asking>(null);
  const [text, setText] = useState("");
  const [key, setKey] = useState(intentKey);
  const navigate = useNavigate();
  const id = space.space_id;
  const owner = id.split("/")[0];
  const update = useUpdate(id);
  const fit = useFit(id);
  const rollback = useRollback(id);
  const promote = usePromote(id);
  const duplicate = useDuplicate(id);
  const remove = useRemoveSpace(id);
  const hardware = space.hardware_requested ?? space.hardware ?? "cpu-basic";
  const price = usePrice(hardware);
  const isBilled = !isFree(hardware) && !embedded;
  const previous = space.previous as { repo_id?: string; revision?: string } | null;
  const open = (what: Asking, first = "") => {
    setKey(intentKey());
    setText(first);
    setAsking(what);
  };
  const close = () => setAsking(null);
  const begun = (task: { id: string }) => started(task.id);
  const target = (label: string, hint: string, placeholder: string) => (
    <Field label={label} hint={hint}>
      {(ids) => (
        <input
          {...ids}
          className="input mono"
          autoComplete="off"
          spellCheck={false}
          required
          placeholder={placeholder}
          value={text}
          onChange={(event) => setText(event.target.value)}
        />
      )}
    </Field>
  );
  return (
    <Panel title="Change what it serves">
      <div className="actions">
        <Button kind="primary" onClick={() => open("update", space.model_repo ?? "")}>
          Another model or revision
        </Button>
        <Button disabled={!spaceCan.goBack(space)} onClick={() => open("rollback")}>
          Roll back
        </Button>
        <Button disabled={space.model_repo === null} onClick={() => open("fit")}>
          Fit limits
        </Button>
        <Button disabled={space.model_repo === null} onClick={() => open("promote")}>
          Promote
        </Button>
        <Button onClick={() => open("duplicate", `${id.split("/")[1]}-copy`)}>Duplicate</Button>
        <Button kind="danger" onClick={() => open("delete")}>
          Delete
        </Button>
      </div>
      {previous?.repo_id ? (
        <p className="faint">
          Before: {previous.repo_id} at <code>{previous.revision?.slice(0, 12)}</code>
        </p>
      ) : null}
      <Confirm
        title="Serve another model?"
        open={asking === "update"}
        close={close}
        action="Serve it"
        kind="primary"
        run={() => update.mutateAsync({ body: { model: text.trim() }, key }).then(begun)}
      >
        <p>
          <code>{id}</code> is rebuilt with the newest revision of this model. If it does not answer, the one before is
          put back.
        </p>
        {target("Model repository", "Its newest revision is pinned.", "me/bashgym-student")}
      </Confirm>
      <Confirm
        title="Fit the limits to what requests took?"
        open={asking === "fit"}
        close={close}
        action="Fit them"
        kind="primary"
        run={() => fit.mutateAsync({ key }).then(begun)}
      >
        <p>
          The log of <code>{id}</code> tells how long its requests took; it has to tell of five at least. Limits that
          are too high make visitors of ZeroGPU wait and cost their quota, limits that are too low cut answers off. If
          they change, the app is rebuilt; the model stays.
        </p>
      </Confirm>
      <Confirm
        title="Go back to the model before?"
        open={asking === "rollback"}
        close={close}
        action="Roll back"
        kind="primary"
        run={() => rollback.mutateAsync({ key }).then(begun)}
      >
        <p>
          <code>{id}</code> serves <b>{previous?.repo_id}</b> at <code>{previous?.revision?.slice(0, 12)}</code> again.
        </p>
      </Confirm>
      <Confirm
        title="Promote what this Space serves?"
        open={asking === "promote"}
        close={close}
        action="Promote"
        kind="primary"
        run={() => promote.mutateAsync({ to: text.trim(), key }).then(begun)}
      >
        <p>
          Another Space serves <b>{space.model_repo}</b> at <code>{space.model_revision?.slice(0, 12)}</code>, exactly
          as it was tried here. What it served before can be rolled back to.
        </p>
        {target("The other Space", "It has to be there already.", "production")}
      </Confirm>
      <Confirm
        title="Duplicate this Space?"
        open={asking === "duplicate"}
        close={close}
        action={isBilled ? "Duplicate and pay" : "Duplicate"}
        kind="primary"
        run={async () => {
          const made = await duplicate.mutateAsync({ to: text.trim(), accept_cost: !isFree(hardware) });
          if (made.missing_secrets.length > 0)
            toast(`${made.space_id} lacks the secrets ${made.missing_secrets.join(", ")}: set them there.`, "warn");
          void navigate(paths.space(made.space_id));
        }}
      >
        <p>
          A second Space with the same files and variables, on <code>{hardware}</code> (
          {isBilled ? `${price}, billed to ${owner} until it sleeps after an hour` : "no charge"}). Secrets cannot be
          read, so they are not copied.
        </p>
        {target("Name of the copy", "It must not be there yet.", "student-demo-2")}
      </Confirm>
      <Confirm
        title="Delete this Space?"
        open={asking === "delete"}
        close={close}
        action="Delete for good"
        typed={id}
        run={async () => {
          await remove.mutateAsync();
          toast(`${id} is deleted`);
          void navigate(paths.spaces());
        }}
      >
        <p>
          <code>{id}</code> goes with its files, settings, secrets and logs. Who uses its address gets no answer any
          more. The model repository stays.
        </p>
      </Confirm>
    </Panel>
  );
}
