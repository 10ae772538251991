RECIPE = "distillation"


def shape(row, tokenizer, config):
    """The student learns the teacher's completion, and nothing of the prompt."""
    columns = config["dataset"]["columns"]
    prompt = messages_of(row[columns["prompt"]])
    completion = messages_of(row[columns["completion"]])
    return learned_row(
        tokenizer, prompt + completion, tools_of(row, columns), config["sequence_length"], first=len(prompt)
    )


def make_trainer(config, model, tokenizer, train, val, options):
    from trl import SFTConfig, SFTTrainer

    return SFTTrainer(
        model=model,
        args=SFTConfig(max_length=config["sequence_length"], **options),
        train_dataset=train,
        eval_dataset=val,
        processing_class=tokenizer,
        peft_config=peft_config(config),
    )


if __name__ == "__main__":
    sys.exit(main(make_trainer, shape))
