RECIPE = "sft"


def shape(row, tokenizer, config):
    columns = config["dataset"]["columns"]
    messages = messages_of(row[columns["messages"]])
    return learned_row(tokenizer, messages, tools_of(row, columns), config["sequence_length"])


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
