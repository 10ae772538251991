RECIPE = "grpo"

# A command of a completion or of a check may take this long, and write and hold this much.
COMMAND_SECONDS = 20
COMMAND_BYTES = 1 << 30


def shape(row, tokenizer, config):
    columns = config["dataset"]["columns"]
    prompt, tools = messages_of(row[columns["prompt"]]), tools_of(row, columns)
    checks = parsed(row[columns["checks"]], "checks")
    if not checks:
        raise ValueError("there are no checks to verify a solution with")
    for check in checks:
        if check.get("kind") not in ("command", "file"):
            raise ValueError(f"a check of kind {check.get('kind')!r} is not known")
    text = render(tokenizer, prompt, tools, prompt=True)
    length = len(tokenizer(text, add_special_tokens=False)["input_ids"])
    if length + config["grpo"]["completion_length"] > config["sequence_length"]:
        raise ValueError("the prompt leaves no room for a completion")
    return {"prompt": text, "checks": json.dumps(checks)}, False


def commands_of(completion):
    """The shell commands a completion gives: tool calls with a command, and fenced shell blocks."""
    import re

    commands = []
    pattern = r"<tool_call>\s*(\{.*?\})\s*</tool_call>|```(?:bash|sh|shell)\n(.*?)```"
    for match in re.finditer(pattern, completion, re.DOTALL):
        if match.group(2) is not None:
            commands.append(match.group(2))
            continue
        try:
            arguments = parsed(json.loads(match.group(1)).get("arguments"), "arguments")
        except (ValueError, AttributeError):
            continue
        if isinstance(arguments, dict) and isinstance(arguments.get("command"), str):
            commands.append(arguments["command"])
    return commands


def limits():
    import resource

    try:
        # No network, where the kernel lets an ordinary process have one of its own.
        os.unshare(os.CLONE_NEWUSER | os.CLONE_NEWNET)
    except (AttributeError, OSError):
        pass

    resource.setrlimit(resource.RLIMIT_CPU, (COMMAND_SECONDS, COMMAND_SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (COMMAND_BYTES, COMMAND_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def execute(command, folder):
    """The exit status of a shell command in a folder, without this process's environment; None when it took too long."""
    import signal
    import subprocess

    process = subprocess.Popen(
        ["/bin/sh", "-c", command],
        cwd=folder,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": folder, "TMPDIR": folder, "LANG": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=limits,
    )
    try:
        return process.wait(timeout=COMMAND_SECONDS)
    except subprocess.TimeoutExpired:
        return None
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()


def verified(completion, checks):
    """The share of the checks that hold after the completion's commands ran in a fresh folder."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        for command in commands_of(completion):
            if execute(command, folder) is None:
                return 0.0
        held = 0
        for check in checks:
            if check["kind"] == "file":
                place = (Path(folder) / (check.get("path") or "")).resolve()
                held += place.is_relative_to(Path(folder).resolve()) and place.is_file()
            else:
                held += execute(check.get("command") or "false", folder) == (check.get("exit_status") or 0)
        return held / len(checks)


def reward(completions, checks, **kwargs):
    return [verified(text, json.loads(each)) for text, each in zip(completions, checks, strict=True)]


def make_trainer(config, model, tokenizer, train, val, options):
    from trl import GRPOConfig, GRPOTrainer

    if not config["grpo"]["run_commands"]:
        raise SystemExit(
            "this recipe runs commands that the model writes; it is meant for a job's container. "
            "Allow it with grpo.run_commands"
        )
    options = dict(options)
    generations = config["grpo"]["generations"]
    # A step's completions must make up whole groups.
    options["per_device_train_batch_size"] = generations * max(1, config["batch_size"] // generations)
    options["per_device_eval_batch_size"] = generations
    options["include_num_input_tokens_seen"] = "no"
    return GRPOTrainer(
        model=model,
        reward_funcs=reward,
        args=GRPOConfig(
            num_generations=generations,
            max_completion_length=config["grpo"]["completion_length"],
            temperature=config["grpo"]["temperature"],
            **options,
        ),
        train_dataset=train,
        eval_dataset=val,
        processing_class=tokenizer,
        peft_config=peft_config(config),
    )


if __name__ == "__main__":
    sys.exit(main(make_trainer, shape))
