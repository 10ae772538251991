import argparse
import json
import math
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

FORMAT = "bashgym-train-1"
MARKER = "[bashgym] "
RESULT_FILE = "bashgym_result.json"
CHECKPOINT_DIR = "checkpoints"
CHECKPOINT_FILE = "bashgym_checkpoint.json"
# The exit status of a job that stopped before its time ran out and can be taken up again (EX_TEMPFAIL).
PAUSED = 75


def emit(event, **detail):
    """Prints one structured line. Numbers that JSON cannot hold become null."""
    line = {"event": event}
    for key, value in detail.items():
        if isinstance(value, float) and not math.isfinite(value):
            value = None
        line[key] = value
    print(MARKER + json.dumps(line), flush=True)


# --- configuration -------------------------------------------------------------------------------------------------

TEXT, WHOLE, NUMBER, FLAG, OBJECT, LIST = "text", "whole number", "number", "flag", "object", "list"
# name: (type, may be null)
FIELDS = {
    "format": (TEXT, False),
    "recipe": (TEXT, False),
    "run_id": (TEXT, False),
    "base_model.repo_id": (TEXT, True),
    "base_model.revision": (TEXT, True),
    "base_model.path": (TEXT, True),
    "dataset.repo_id": (TEXT, True),
    "dataset.revision": (TEXT, True),
    "dataset.path": (TEXT, True),
    "dataset.files.train": (LIST, False),
    "dataset.files.validation": (LIST, False),
    "dataset.columns": (OBJECT, False),
    "output.repo_id": (TEXT, True),
    "output.path": (TEXT, True),
    "method": (TEXT, False),
    "lora.r": (WHOLE, False),
    "lora.alpha": (WHOLE, False),
    "lora.dropout": (NUMBER, False),
    "seed": (WHOLE, False),
    "epochs": (NUMBER, False),
    "max_steps": (WHOLE, True),
    "max_seconds": (WHOLE, True),
    "learning_rate": (NUMBER, False),
    "warmup_share": (NUMBER, False),
    "weight_decay": (NUMBER, False),
    "batch_size": (WHOLE, False),
    "accumulation": (WHOLE, False),
    "sequence_length": (WHOLE, False),
    "gradient_checkpointing": (FLAG, False),
    "log_every_steps": (WHOLE, False),
    "eval_every_steps": (WHOLE, True),
    "early_stop_patience": (WHOLE, True),
    "checkpoint_every_seconds": (NUMBER, False),
    "stop_after_seconds": (WHOLE, True),
    "dpo.beta": (NUMBER, False),
    "grpo.generations": (WHOLE, False),
    "grpo.completion_length": (WHOLE, False),
    "grpo.temperature": (NUMBER, False),
    "grpo.run_commands": (FLAG, False),
}
COLUMNS = {
    "sft": ["messages", "tools"],
    "dpo": ["prompt", "chosen", "rejected", "tools"],
    "grpo": ["prompt", "checks", "tools"],
    "distillation": ["prompt", "completion", "tools"],
}


class ConfigError(Exception):
    pass


def is_of(kind, value):
    if kind == TEXT:
        return isinstance(value, str)
    if kind == FLAG:
        return isinstance(value, bool)
    if kind == OBJECT:
        return isinstance(value, dict)
    if kind == LIST:
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    if isinstance(value, bool):
        return False
    if kind == WHOLE:
        return isinstance(value, int) and value >= 0
    return isinstance(value, (int, float)) and math.isfinite(value)


def find(config, name):
    value = config
    for part in name.split("."):
        if not isinstance(value, dict) or part not in value:
            raise ConfigError(f"{name} is missing")
        value = value[part]
    return value


def check_config(config):
    """Raises ConfigError unless the configuration can be trained with this recipe."""
    if not isinstance(config, dict):
        raise ConfigError("the configuration is no JSON object")
    for name, (kind, may_be_null) in FIELDS.items():
        value = find(config, name)
        if value is None and may_be_null:
            continue
        if not is_of(kind, value):
            raise ConfigError(f"{name} is {json.dumps(value)}, which is no {kind}")
    if config["format"] != FORMAT:
        raise ConfigError(f"format is {config['format']!r}; this script reads {FORMAT!r}")
    if config["recipe"] != RECIPE:
        raise ConfigError(f"recipe is {config['recipe']!r}; this script is {RECIPE!r}")
    for place in ("base_model", "dataset"):
        if (config[place]["repo_id"] is None) == (config[place]["path"] is None):
            raise ConfigError(f"{place} needs a repo_id or a path, and not both")
    if config["dataset"]["repo_id"] is not None and config["dataset"]["revision"] is None:
        raise ConfigError("dataset.revision is missing: what is trained on must be pinned")
    if config["output"]["repo_id"] is None and config["output"]["path"] is None:
        raise ConfigError("output needs a repo_id or a path")
    if not config["dataset"]["files"]["train"]:
        raise ConfigError("dataset.files.train names no file")
    for column in COLUMNS[RECIPE]:
        if not isinstance(config["dataset"]["columns"].get(column), str):
            raise ConfigError(f"dataset.columns.{column} is missing")
    if config["method"] not in ("lora", "qlora", "full"):
        raise ConfigError(f"method is {config['method']!r}; there are lora, qlora and full")
    for name in ("epochs", "learning_rate"):
        if config[name] <= 0:
            raise ConfigError(f"{name} is {config[name]}, which is not above zero")
    for name in ("batch_size", "accumulation", "sequence_length", "log_every_steps", "grpo.generations"):
        if find(config, name) < 1:
            raise ConfigError(f"{name} is below 1")
    if RECIPE == "grpo" and config["grpo"]["generations"] < 2:
        raise ConfigError("grpo.generations is below 2: rewards are compared within a group")


# --- data ----------------------------------------------------------------------------------------------------------


class Lost:
    """Counts rows that cannot be used, by reason. Nothing is dropped without a word."""

    def __init__(self):
        self.reasons = {}

    def row(self, reason):
        self.reasons[reason] = self.reasons.get(reason, 0) + 1


def parsed(value, what):
    """A value that may be kept as the JSON text of itself."""
    if isinstance(value, str):
        try:
            return json.loads(value)
        except ValueError:
            raise ValueError(f"{what} is no JSON") from None
    return value


def messages_of(raw):
    """Messages as chat templates read them: no null content, arguments as objects."""
    messages = []
    for message in raw:
        clean = {"role": message["role"], "content": message.get("content") or ""}
        calls = []
        for call in message.get("tool_calls") or []:
            function = call["function"]
            arguments = parsed(function.get("arguments"), "a call's arguments")
            calls.append(
                {
                    "type": "function",
                    "id": call.get("id"),
                    "function": {"name": function["name"], "arguments": arguments if arguments is not None else {}},
                }
            )
        if calls:
            clean["tool_calls"] = calls
        for key in ("tool_call_id", "name"):
            if message.get(key):
                clean[key] = message[key]
        messages.append(clean)
    return messages


def tools_of(row, columns):
    return parsed(row.get(columns["tools"]), "tools") or None


def render(tokenizer, messages, tools, prompt=False):
    return tokenizer.apply_chat_template(messages, tools=tools, tokenize=False, add_generation_prompt=prompt)


def assistant_spans(tokenizer, messages, tools, text, first):
    """The pieces of `text` that the assistant says in messages from `first` on, its end-of-turn included."""
    spans = []
    for index, message in enumerate(messages):
        if message["role"] != "assistant" or index < first:
            continue
        before = render(tokenizer, messages[:index], tools, prompt=True)
        after = render(tokenizer, messages[: index + 1], tools)
        if not text.startswith(before):
            # Some templates open a turn of thought in the prompt that a finished turn does not have.
            before = render(tokenizer, messages[:index], tools)
        after = after.rstrip("\n")
        if not text.startswith(before) or not text.startswith(after) or len(after) <= len(before):
            raise ValueError("the chat template does not render a conversation piece by piece")
        spans.append((len(before), len(after)))
    if not spans:
        raise ValueError("nothing is said by the assistant")
    return spans


def learned_row(tokenizer, messages, tools, limit, first=0):
    """Token ids and labels of a conversation; only what the assistant says is learned."""
    text = render(tokenizer, messages, tools)
    spans = assistant_spans(tokenizer, messages, tools, text, first)
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids, offsets = encoded["input_ids"], encoded["offset_mapping"]
    labels = [-100] * len(ids)
    span = 0
    for place, (start, end) in enumerate(offsets):
        while span < len(spans) and start >= spans[span][1]:
            span += 1
        if span < len(spans) and start >= spans[span][0] and end <= spans[span][1] and end > start:
            labels[place] = ids[place]
    cut = len(ids) > limit
    ids, labels = ids[:limit], labels[:limit]
    if all(label == -100 for label in labels):
        raise ValueError("longer than the sequence length before the assistant speaks")
    return {"input_ids": ids, "labels": labels}, cut


def read_rows(folder, files):
    for name in files:
        with open(Path(folder) / name, encoding="utf-8") as lines:
            for line in lines:
                if line.strip():
                    yield json.loads(line)


def dataset_folder(config):
    dataset = config["dataset"]
    if dataset["path"] is not None:
        return dataset["path"]
    from huggingface_hub import snapshot_download

    files = dataset["files"]["train"] + dataset["files"]["validation"]
    return snapshot_download(
        dataset["repo_id"], repo_type="dataset", revision=dataset["revision"], allow_patterns=files
    )


def make_rows(config, split, shape, tokenizer, folder, lost):
    """The rows of a split as `shape` makes them, and how many were cut to the sequence length."""
    from datasets import Dataset

    rows, cut = [], 0
    for row in read_rows(folder, config["dataset"]["files"][split]):
        try:
            made, was_cut = shape(row, tokenizer, config)
        except (KeyError, TypeError, ValueError) as error:
            lost.row(f"{type(error).__name__}: {error}" if not isinstance(error, ValueError) else str(error))
            continue
        rows.append(made)
        cut += was_cut
    return (Dataset.from_list(rows) if rows else None), cut


# --- checkpoints ---------------------------------------------------------------------------------------------------


class Checkpoints:
    """Checkpoints on their way out of the box: the newest is in the output repository, in one commit."""

    def __init__(self, config):
        self.run_id = config["run_id"]
        self.repo_id = config["output"]["repo_id"]
        self.path = config["output"]["path"]
        # What the untrained model was measured at, which no later attempt can measure any more.
        self.before = {}

    def fetch(self, folder):
        """The folder of the run's newest checkpoint, or None."""
        if self.repo_id is None:
            kept = Path(self.path) / CHECKPOINT_DIR
        else:
            from huggingface_hub import snapshot_download
            from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

            try:
                root = snapshot_download(
                    self.repo_id, allow_patterns=[f"{CHECKPOINT_DIR}/*"], local_dir=Path(folder) / "fetched"
                )
            except (RepositoryNotFoundError, RevisionNotFoundError):
                return None
            kept = Path(root) / CHECKPOINT_DIR
        note = kept / CHECKPOINT_FILE
        if not note.exists():
            return None
        told = json.loads(note.read_text(encoding="utf-8"))
        if told.get("run_id") != self.run_id:
            emit("notice", code="checkpoint_of_another_run", message="a checkpoint of another run is left alone")
            return None
        self.before = told.get("before") or {}
        return str(kept / told["folder"])

    def push(self, folder, step):
        """Puts a checkpoint in the place of the one before."""
        name = Path(folder).name
        note = {"run_id": self.run_id, "step": step, "folder": name, "before": self.before}
        note = json.dumps(note)
        if self.repo_id is None:
            place = Path(self.path) / CHECKPOINT_DIR
            part = place.with_name(CHECKPOINT_DIR + ".part")
            shutil.rmtree(part, ignore_errors=True)
            shutil.copytree(folder, part / name)
            (part / CHECKPOINT_FILE).write_text(note, encoding="utf-8")
            shutil.rmtree(place, ignore_errors=True)
            part.rename(place)
            return None
        from huggingface_hub import HfApi

        with tempfile.TemporaryDirectory(dir=Path(folder).parent) as temp:
            root = Path(temp)
            # Links, so that a large checkpoint is not held twice, nor taken away by its successor meanwhile.
            shutil.copytree(folder, root / name, copy_function=os.link)
            (root / CHECKPOINT_FILE).write_text(note, encoding="utf-8")
            commit = HfApi().upload_folder(
                repo_id=self.repo_id,
                folder_path=root,
                path_in_repo=CHECKPOINT_DIR,
                delete_patterns=["*"],
                commit_message=f"Checkpoint at step {step}",
            )
        return commit.oid


def callback_class():
    from transformers import TrainerCallback

    class Progress(TrainerCallback):
        """Structured lines, checkpoints by time, and an end before the job's own."""

        def __init__(self, config, checkpoints, started):
            self.config = config
            self.checkpoints = checkpoints
            self.started = started
            self.last_saved = time.monotonic()
            self.began = None
            self.tokens_before = 0
            self.paused = False
            self.out_of_time = False

        def on_train_begin(self, args, state, control, **kwargs):
            self.began = time.monotonic()
            self.tokens_before = state.num_input_tokens_seen or 0
            emit("start", total_steps=state.max_steps, resumed_step=state.global_step)

        def on_step_end(self, args, state, control, **kwargs):
            now = time.monotonic()
            if now - self.last_saved >= self.config["checkpoint_every_seconds"]:
                control.should_save = True
            limit = self.config["max_seconds"]
            if limit is not None and now - self.began >= limit:
                self.out_of_time = True
                control.should_training_stop = True
            limit = self.config["stop_after_seconds"]
            if limit is not None and now - self.started >= limit and state.global_step < state.max_steps:
                self.paused = True
                control.should_save = True
                control.should_training_stop = True
            return control

        def on_save(self, args, state, control, **kwargs):
            self.last_saved = time.monotonic()
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            try:
                revision = self.checkpoints.push(folder, state.global_step)
            except Exception as error:  # noqa: BLE001 - training goes on; the next checkpoint may leave the box
                emit("notice", code="checkpoint_kept_here", message=f"{type(error).__name__}: {error}")
                return
            emit("checkpoint", step=state.global_step, revision=revision)

        def on_log(self, args, state, control, logs=None, **kwargs):
            logs = logs or {}
            if "loss" in logs:
                seconds = max(time.monotonic() - self.began, 1e-9)
                tokens = (state.num_input_tokens_seen or 0) - self.tokens_before
                emit(
                    "step",
                    step=state.global_step,
                    total_steps=state.max_steps,
                    epoch=state.epoch,
                    loss=logs["loss"],
                    learning_rate=logs.get("learning_rate"),
                    gradient_norm=logs.get("grad_norm"),
                    tokens_per_second=tokens / seconds if tokens else None,
                    reward=logs.get("reward"),
                )
            if "eval_loss" in logs:
                loss = None if RECIPE == "grpo" else logs["eval_loss"]
                emit("eval", step=state.global_step, val_loss=loss, val_reward=logs.get("eval_reward"))

    return Progress


# --- model ---------------------------------------------------------------------------------------------------------


def base_of(config):
    base = config["base_model"]
    return base["path"] if base["path"] is not None else base["repo_id"]


def load_tokenizer(config):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base_of(config), revision=config["base_model"]["revision"] or "main")
    if not tokenizer.is_fast:
        raise SystemExit("the base model has no fast tokenizer, which the assistant-only loss needs")
    if tokenizer.chat_template is None:
        raise SystemExit("the base model has no chat template; take its chat or instruct version")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(config):
    import torch
    from transformers import AutoModelForCausalLM

    gpu = torch.cuda.is_available()
    half = torch.bfloat16 if gpu and torch.cuda.is_bf16_supported() else torch.float32
    options = {"revision": config["base_model"]["revision"] or "main", "dtype": half}
    if config["method"] == "qlora":
        if not gpu:
            raise SystemExit("qlora needs a GPU; take --method lora here")
        from transformers import BitsAndBytesConfig

        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=half,
        )
    return AutoModelForCausalLM.from_pretrained(base_of(config), **options)


def peft_config(config):
    if config["method"] == "full":
        return None
    from peft import LoraConfig

    lora = config["lora"]
    return LoraConfig(
        r=lora["r"],
        lora_alpha=lora["alpha"],
        lora_dropout=lora["dropout"],
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )


def trainer_options(config, work, has_val):
    """What all of TRL's trainers take."""
    import torch

    gpu = torch.cuda.is_available()
    bf16 = gpu and torch.cuda.is_bf16_supported()
    evaluation = config["eval_every_steps"]
    return {
        "output_dir": str(work),
        "seed": config["seed"],
        "data_seed": config["seed"],
        "num_train_epochs": config["epochs"],
        "max_steps": -1 if config["max_steps"] is None else config["max_steps"],
        "learning_rate": config["learning_rate"],
        "warmup_steps": config["warmup_share"],
        "weight_decay": config["weight_decay"],
        "lr_scheduler_type": "cosine",
        "per_device_train_batch_size": config["batch_size"],
        "per_device_eval_batch_size": config["batch_size"],
        "gradient_accumulation_steps": config["accumulation"],
        "activation_checkpointing": config["gradient_checkpointing"],
        "logging_steps": config["log_every_steps"],
        "logging_nan_inf_filter": False,
        "include_num_input_tokens_seen": "all",
        "save_strategy": "no",
        "save_total_limit": 1,
        "eval_strategy": "steps" if has_val and evaluation else "no",
        "eval_steps": evaluation or None,
        "bf16": bf16,
        "fp16": gpu and not bf16,
        "use_cpu": not gpu,
        "report_to": "none",
        "disable_tqdm": True,
    }


def early_stop(config, has_val):
    """Stops when the validation loss has not fallen, or the reward not risen, for so many evaluations."""
    patience = config["early_stop_patience"]
    if not patience or not has_val or not config["eval_every_steps"]:
        return []
    from transformers import TrainerCallback

    class Plateau(TrainerCallback):
        best, waited = math.inf, 0

        def on_evaluate(self, args, state, control, metrics=None, **kwargs):
            metrics = metrics or {}
            reward = metrics.get("eval_reward")
            loss = metrics.get("eval_loss") if reward is None else -reward
            if loss is None:
                return control
            if loss < self.best:
                self.best, self.waited = loss, 0
            else:
                self.waited += 1
            if self.waited >= patience:
                emit("notice", code="early_stop", message=f"no better for {patience} evaluations")
                control.should_training_stop = True
            return control

    return [Plateau()]


# --- the run -------------------------------------------------------------------------------------------------------


def measured(trainer, has_val):
    """The validation loss and, where rewards are what counts, the mean reward; None where it is not measured."""
    metrics = trainer.evaluate() if has_val else {}
    found = []
    for key in ("eval_loss", "eval_reward"):
        value = metrics.get(key)
        found.append(value if value is not None and math.isfinite(value) else None)
    # The loss of a policy gradient says nothing about how good the policy is.
    return {"val_loss": None if RECIPE == "grpo" else found[0], "val_reward": found[1]}


def write_card(config, folder, result):
    """The model's card. Values go through a YAML-safe JSON text, never into a line of their own."""
    base, dataset = config["base_model"]["repo_id"], config["dataset"]["repo_id"]
    facts = {"library_name": "transformers" if config["method"] == "full" else "peft", "tags": ["bashgym", "trl", RECIPE]}
    if base:
        facts["base_model"] = base
    if dataset:
        facts["datasets"] = [dataset]
    lines = ["---", *(f"{key}: {json.dumps(value)}" for key, value in facts.items()), "---", "", "# Student", ""]
    lines += ["Trained with Bash Gym.", "", "| fact | value |", "| --- | --- |"]
    for key in ("recipe", "method", "steps", "train_rows", "val_rows", "val_loss_before", "val_loss_after"):
        lines.append(f"| {key.replace('_', ' ')} | {result[key]} |")
    (Path(folder) / "README.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def publish(config, folder):
    """Copies or pushes the model in one commit, and takes the checkpoints away with it."""
    output = config["output"]
    if output["repo_id"] is None:
        place = Path(output["path"])
        place.mkdir(parents=True, exist_ok=True)
        for file in Path(folder).iterdir():
            shutil.copy2(file, place / file.name)
        shutil.rmtree(place / CHECKPOINT_DIR, ignore_errors=True)
        return None
    from huggingface_hub import HfApi

    commit = HfApi().upload_folder(
        repo_id=output["repo_id"],
        folder_path=folder,
        delete_patterns=[f"{CHECKPOINT_DIR}/*"],
        commit_message=f"Student trained with {RECIPE}",
    )
    return commit.oid


def run(config, make_trainer, shape):
    """Trains, measures, and leaves the model in the output. Returns the exit status."""
    started = time.monotonic()
    import transformers

    transformers.utils.logging.set_verbosity_warning()
    transformers.set_seed(config["seed"])
    work = Path(tempfile.mkdtemp(prefix="bashgym-", dir=os.getcwd()))
    if config["output"]["repo_id"] is not None:
        from huggingface_hub import HfApi

        HfApi().create_repo(config["output"]["repo_id"], private=True, exist_ok=True)
    checkpoints = Checkpoints(config)
    resume = checkpoints.fetch(work)

    emit("prepare", phase="tokens")
    tokenizer = load_tokenizer(config)
    folder, lost = dataset_folder(config), Lost()
    train, cut = make_rows(config, "train", shape, tokenizer, folder, lost)
    val, _ = make_rows(config, "validation", shape, tokenizer, folder, lost)
    for reason, rows in sorted(lost.reasons.items()):
        emit("notice", code="lost_rows", message=f"{rows} rows could not be used: {reason}")
    if train is None:
        raise SystemExit("no row can be trained on")
    emit("data", train_rows=len(train), val_rows=len(val) if val else 0, cut_rows=cut, lost=sum(lost.reasons.values()))

    emit("prepare", phase="model")
    has_val = val is not None
    model = load_model(config)
    trainer = make_trainer(config, model, tokenizer, train, val, trainer_options(config, work / "trainer", has_val))
    progress = callback_class()(config, checkpoints, started)
    trainer.add_callback(progress)
    for callback in early_stop(config, has_val):
        trainer.add_callback(callback)

    if resume is None:
        checkpoints.before = measured(trainer, has_val)
    before = checkpoints.before
    if resume:
        emit("resume", folder=Path(resume).name)
    outcome = trainer.train(resume_from_checkpoint=resume)
    steps = trainer.state.global_step
    if progress.paused:
        emit("paused", step=steps, total_steps=trainer.state.max_steps)
        print("The time is nearly over; the next attempt goes on from the last checkpoint.", flush=True)
        return PAUSED
    after = measured(trainer, has_val)

    out = work / "model"
    trainer.save_model(str(out))
    tokenizer.save_pretrained(str(out))
    seconds = time.monotonic() - progress.began
    tokens = (trainer.state.num_input_tokens_seen or 0) - progress.tokens_before
    result = {
        "engine": "trl",
        "recipe": RECIPE,
        "method": config["method"],
        "run_id": config["run_id"],
        "job_id": os.environ.get("JOB_ID"),
        "base_model": config["base_model"],
        "dataset_repo": config["dataset"]["repo_id"],
        "dataset_revision": config["dataset"]["revision"],
        "steps": steps,
        "train_rows": len(train),
        "val_rows": len(val) if val else 0,
        "lost_rows": lost.reasons,
        "train_loss": outcome.training_loss if math.isfinite(outcome.training_loss) else None,
        "val_loss_before": before.get("val_loss"),
        "val_loss_after": after["val_loss"],
        "val_reward_before": before.get("val_reward"),
        "val_reward_after": after["val_reward"],
        "tokens_trained": tokens,
        "seconds": seconds,
        "tokens_per_second": tokens / seconds if tokens and seconds > 0 else None,
        "out_of_time": progress.out_of_time,
    }
    (out / RESULT_FILE).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    # It holds pickled Python, and paths of the machine.
    (out / "training_args.bin").unlink(missing_ok=True)
    write_card(config, out, result)
    revision = publish(config, out)
    shutil.rmtree(work, ignore_errors=True)
    emit(
        "done",
        steps=steps,
        train_loss=result["train_loss"],
        val_loss_before=result["val_loss_before"],
        val_loss_after=result["val_loss_after"],
        val_reward_before=result["val_reward_before"],
        val_reward_after=result["val_reward_after"],
        seconds=seconds,
        revision=revision,
    )
    return 0


def main(make_trainer, shape):
    parser = argparse.ArgumentParser(description=f"Bash Gym: {RECIPE}")
    parser.add_argument("--config", required=True, help="the JSON file with everything that is decided")
    parser.add_argument("--check-config", action="store_true", help="check the file and end")
    arguments = parser.parse_args()
    try:
        config = json.loads(Path(arguments.config).read_text(encoding="utf-8"))
        check_config(config)
    except (OSError, ValueError, ConfigError) as error:
        print(f"the configuration cannot be used: {error}", file=sys.stderr)
        return 2
    if arguments.check_config:
        print(json.dumps(config, sort_keys=True))
        return 0
    return run(config, make_trainer, shape)


# --- the recipe ----------------------------------------------------------------------------------------------------

