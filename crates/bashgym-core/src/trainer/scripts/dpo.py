RECIPE = "dpo"


def without_start(tokenizer, text):
    """The trainer's tokenizer puts the first special token in front by itself."""
    start = tokenizer.bos_token
    if start and text.startswith(start) and tokenizer("")["input_ids"][:1] == [tokenizer.bos_token_id]:
        return text[len(start) :]
    return text


def shape(row, tokenizer, config):
    columns = config["dataset"]["columns"]
    prompt, tools = messages_of(row[columns["prompt"]]), tools_of(row, columns)
    asked = render(tokenizer, prompt, tools, prompt=True)
    made = {"prompt": without_start(tokenizer, asked)}
    for side in ("chosen", "rejected"):
        whole = render(tokenizer, prompt + messages_of(row[columns[side]]), tools).rstrip("\n")
        if not whole.startswith(asked):
            raise ValueError("the chat template does not render a conversation piece by piece")
        made[side] = whole[len(asked) :]
    if made["chosen"] == made["rejected"]:
        raise ValueError("both completions are the same")
    longest = max(len(made["chosen"]), len(made["rejected"]))
    length = len(tokenizer(asked)["input_ids"])
    if length >= config["sequence_length"]:
        raise ValueError("longer than the sequence length before the assistant speaks")
    return made, length + longest // 3 > config["sequence_length"]


def make_trainer(config, model, tokenizer, train, val, options):
    from trl import DPOConfig, DPOTrainer

    return DPOTrainer(
        model=model,
        args=DPOConfig(max_length=config["sequence_length"], beta=config["dpo"]["beta"], **options),
        train_dataset=train,
        eval_dataset=val,
        processing_class=tokenizer,
        peft_config=peft_config(config),
    )


if __name__ == "__main__":
    sys.exit(main(make_trainer, shape))
