//! The Rust renderer against what transformers rendered from the template (`fixtures/make_chat.py`).

use std::path::Path;

use bashgym_engine::{CHAT_TEMPLATE, ChatRow, Json, render};

#[test]
fn renders_what_transformers_renders() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/chat.json");
    let fixture: Json = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let template = fixture.get("template").and_then(Json::as_text).unwrap();
    assert_eq!(
        template, CHAT_TEMPLATE,
        "the template has changed: run tests/fixtures/make_chat.py again"
    );
    let Some(Json::List(cases)) = fixture.get("cases") else {
        panic!("no cases")
    };
    assert!(cases.len() >= 100);
    for (index, case) in cases.iter().enumerate() {
        let row = ChatRow::from_json(case).unwrap();
        let prompt = case.get("prompt") == Some(&Json::Bool(true));
        let got = render(&row.messages, &row.tools, prompt);
        assert_eq!(
            Some(got.as_str()),
            case.get("expected").and_then(Json::as_text),
            "case {index}"
        );
    }
}

#[test]
fn tools_as_json_text_render_as_the_list_does() {
    let tools =
        r#"[{"type":"function","function":{"name":"bash","parameters":{"properties":{"b":{},"a":{}}}}}]"#;
    let row = |tools: &str| {
        let text = format!(r#"{{"messages":[{{"role":"user","content":"x"}}],"tools":{tools}}}"#);
        let row = ChatRow::from_json(&serde_json::from_str(&text).unwrap()).unwrap();
        render(&row.messages, &row.tools, false)
    };
    let as_text = serde_json::to_string(tools).unwrap();
    assert_eq!(row(tools), row(&as_text));
    assert!(row(tools).starts_with("<|im_start|>tools\nbash(b, a)\n<|im_end|>\n"));
}
