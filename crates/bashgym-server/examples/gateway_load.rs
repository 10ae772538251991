//! What `cargo xtask bench gateway` runs: an upstream that costs nothing, and callers.
//!
//! `gateway_load upstream` answers chats from a script and prints its address. `gateway_load callers URL KEY MODEL CONNECTIONS
//! SECONDS KIND` asks URL for chats, over as many connections at a time, and prints what it saw as JSON; KIND is `json`,
//! `stream` (64 pieces, one every 2 ms) or `burst` (512 pieces at once); headers may follow, as `name: value`. `gateway_load
//! decide` prints what a decision of the router takes.
#![expect(clippy::print_stdout, reason = "its figures are read by whoever started it")]

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bashgym_core::backend::{BackendRole, BackendStream, ModelBackend};
use bashgym_core::inference::InferenceFailure;
use bashgym_core::router::{MemoryRoutes, Router, RouterPolicy, RoutingStrategy, Wish};
use hf_core::{Clock, MicroUsd, SystemClock};
use hf_inference::{
    BreakerState, CallReport, ChatAnswer, ChatRequest, Cost, InferenceError, Message, TokenPrice,
};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{MissedTickBehavior, interval};

type Error = Box<dyn std::error::Error + Send + Sync>;

const PIECE: &str = "{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"bench\",\
    \"choices\":[{\"index\":0,\"delta\":{\"content\":\" token\"},\"finish_reason\":null}]}";
const LAST: &str = "{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"bench\",\
    \"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}";
const USAGE: &str = "{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"bench\",\
    \"choices\":[],\"usage\":{\"prompt_tokens\":30,\"completion_tokens\":64,\"total_tokens\":94}}";

#[tokio::main]
async fn main() -> Result<(), Error> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["upstream"] => upstream().await,
        ["decide"] => decide().await,
        [
            "callers",
            url,
            key,
            model,
            connections,
            seconds,
            kind,
            ref headers @ ..,
        ] => {
            let asked = Asked::new(url, key, model, kind, headers)?;
            callers(asked, connections.parse()?, Duration::from_secs(seconds.parse()?)).await
        }
        _ => Err(
            "gateway_load upstream, decide, or callers URL KEY MODEL CONNECTIONS SECONDS KIND [HEADER].."
                .into(),
        ),
    }
}

fn say(text: &str) {
    println!("{text}");
    let _ = std::io::stdout().flush();
}

async fn upstream() -> Result<(), Error> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    say(&format!("http://{}", listener.local_addr()?));
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            let mut stream = BufReader::with_capacity(64 * 1024, stream);
            while let Ok(Some(body)) = request(&mut stream).await {
                if answer(&mut stream, &body).await.is_err() {
                    return;
                }
            }
        });
    }
}

/// One request of a connection; its body.
async fn request(stream: &mut BufReader<TcpStream>) -> Result<Option<Vec<u8>>, Error> {
    let mut length = 0;
    let mut line = String::new();
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        if line == "\r\n" {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse()?;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(Some(body))
}

fn has(body: &[u8], words: &str) -> bool {
    body.windows(words.len()).any(|window| window == words.as_bytes())
}

fn part(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

fn event(data: &str) -> String {
    part(&format!("data: {data}\n\n"))
}

async fn answer(stream: &mut BufReader<TcpStream>, body: &[u8]) -> Result<(), Error> {
    if !has(body, "\"stream\":true") {
        let text =
            json!({"id": "chatcmpl-bench", "object": "chat.completion", "created": 1, "model": "bench",
            "choices": [{"index": 0, "finish_reason": "stop", "logprobs": null,
                "message": {"role": "assistant", "content": "token ".repeat(64)}}],
            "usage": {"prompt_tokens": 30, "completion_tokens": 64, "total_tokens": 94}})
            .to_string();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            text.len()
        );
        return Ok(stream.write_all(format!("{head}{text}").as_bytes()).await?);
    }
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let end = format!("{}{}{}0\r\n\r\n", event(LAST), event(USAGE), event("[DONE]"));
    if has(body, "burst") {
        let text = format!("{head}{}{end}", event(PIECE).repeat(512));
        return Ok(stream.write_all(text.as_bytes()).await?);
    }
    let mut ticks = interval(Duration::from_millis(2));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    stream
        .write_all(format!("{head}{}", event(PIECE)).as_bytes())
        .await?;
    ticks.tick().await;
    for _ in 1..64 {
        ticks.tick().await;
        stream.write_all(event(PIECE).as_bytes()).await?;
    }
    Ok(stream.write_all(end.as_bytes()).await?)
}

/// A request, written once.
struct Asked {
    address: String,
    bytes: Vec<u8>,
}

impl Asked {
    fn new(url: &str, key: &str, model: &str, kind: &str, headers: &[&str]) -> Result<Self, Error> {
        let rest = url.strip_prefix("http://").ok_or("only http")?;
        let (address, path) = rest.split_once('/').unwrap_or((rest, ""));
        let path = if path.is_empty() {
            String::new()
        } else {
            format!("/{path}")
        };
        let mut body = json!({"model": model, "messages": [
            {"role": "system", "content": "You are a helpful assistant that writes short answers."},
            {"role": "user", "content": format!("Tell me something about {kind}.")}], "max_tokens": 64});
        if kind != "json" {
            body["stream"] = true.into();
        }
        let body = body.to_string();
        let more = headers
            .iter()
            .flat_map(|header| [header, "\r\n"])
            .collect::<String>();
        let head = format!(
            "POST {path}/chat/completions HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\n\
             content-type: application/json\r\naccept: */*\r\n{more}content-length: {}\r\n\r\n",
            body.len()
        );
        Ok(Self {
            address: address.to_owned(),
            bytes: format!("{head}{body}").into_bytes(),
        })
    }
}

#[derive(Default)]
struct Seen {
    whole: Vec<u32>,
    first: Vec<u32>,
    pieces: u64,
    failed: u64,
}

async fn callers(asked: Asked, connections: usize, lasts: Duration) -> Result<(), Error> {
    let asked = Arc::new(asked);
    let began = Instant::now();
    let each: Vec<_> = (0..connections)
        .map(|_| tokio::spawn(caller(Arc::clone(&asked), began, lasts)))
        .collect();
    let mut all = Seen::default();
    for one in each {
        let seen = one.await??;
        all.whole.extend(seen.whole);
        all.first.extend(seen.first);
        all.pieces += seen.pieces;
        all.failed += seen.failed;
    }
    let seconds = began.elapsed().as_secs_f64();
    let share = |values: &mut Vec<u32>, percent: usize| {
        values.sort_unstable();
        let at = values.len() * percent / 100;
        values
            .get(at.min(values.len().saturating_sub(1)))
            .copied()
            .unwrap_or_default()
    };
    let figures = json!({"requests": all.whole.len(), "failed": all.failed, "seconds": seconds, "pieces": all.pieces,
        "p50_us": share(&mut all.whole, 50), "p99_us": share(&mut all.whole, 99),
        "first_p50_us": share(&mut all.first, 50), "first_p99_us": share(&mut all.first, 99)});
    say(&figures.to_string());
    Ok(())
}

async fn caller(asked: Arc<Asked>, began: Instant, lasts: Duration) -> Result<Seen, Error> {
    let mut stream = TcpStream::connect(&asked.address).await?;
    stream.set_nodelay(true)?;
    let mut seen = Seen::default();
    let mut buffer = Vec::with_capacity(256 * 1024);
    while began.elapsed() < lasts {
        let start = Instant::now();
        stream.write_all(&asked.bytes).await?;
        buffer.clear();
        let (mut head, mut first) = (None, None);
        loop {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Err("the server hung up".into());
            }
            if head.is_none() {
                head = buffer
                    .windows(4)
                    .position(|window| window == b"\r\n\r\n")
                    .map(|at| at + 4);
            }
            let Some(body) = head else { continue };
            if buffer.len() > body && first.is_none() {
                first = Some(start.elapsed());
            }
            if is_whole(&buffer, body) {
                break;
            }
        }
        if !buffer.starts_with(b"HTTP/1.1 200") {
            seen.failed += 1;
        }
        seen.whole.push(u32::try_from(start.elapsed().as_micros())?);
        seen.first
            .push(u32::try_from(first.unwrap_or_default().as_micros())?);
        seen.pieces += buffer.windows(6).filter(|window| window == b"data: ").count() as u64;
    }
    Ok(seen)
}

fn is_whole(buffer: &[u8], body: usize) -> bool {
    let head = String::from_utf8_lossy(&buffer[..body]).to_ascii_lowercase();
    match head.split("content-length:").nth(1) {
        Some(rest) => {
            let length: usize = rest
                .lines()
                .next()
                .unwrap_or_default()
                .trim()
                .parse()
                .unwrap_or(0);
            buffer.len() >= body + length
        }
        None => buffer.ends_with(b"0\r\n\r\n"),
    }
}

/// A model that answers at once.
#[derive(Debug)]
struct AtOnce {
    role: BackendRole,
    name: &'static str,
}

#[async_trait]
impl ModelBackend for AtOnce {
    fn role(&self) -> BackendRole {
        self.role
    }

    fn model(&self) -> &str {
        self.name
    }

    async fn price(&self) -> Option<TokenPrice> {
        Some(TokenPrice {
            input: 3.0,
            output: 15.0,
        })
    }

    async fn worst_case(&self, _: &ChatRequest) -> Result<Option<MicroUsd>, InferenceFailure> {
        Ok(None)
    }

    fn breaker(&self) -> BreakerState {
        BreakerState::Closed { failures: 0 }
    }

    async fn chat(&self, _: &ChatRequest) -> Result<ChatAnswer, InferenceFailure> {
        Ok(ChatAnswer {
            reply: serde_json::from_value(json!({"choices": []}))
                .map_err(|_| InferenceError::invalid("no reply"))?,
            report: CallReport {
                model: self.name.to_owned(),
                task: "conversational".to_owned(),
                provider: None,
                attempts: Vec::new(),
                usage: None,
                cost: Cost::Unknown,
                millis: 0,
            },
        })
    }

    async fn chat_stream(&self, _: &ChatRequest) -> Result<BackendStream, InferenceFailure> {
        Err(InferenceError::invalid("no stream here").into())
    }
}

/// Calls of one round.
const DECISIONS: u32 = 20_000;

/// Prints what a call through the router takes where models answer at once: the choice, the record, and its way into memory.
async fn decide() -> Result<(), Error> {
    let models = [
        (BackendRole::Student, "me/student"),
        (BackendRole::Hf, "org/name"),
        (BackendRole::Teacher, "teacher"),
    ];
    let request = ChatRequest::new("bashgym/auto".parse()?, [Message::user("Tell me something.")]);
    for word in [
        "teacher_only",
        "confidence_based:0.8",
        "cost_optimized:0.8",
        "progressive:0.8",
    ] {
        let backends = models.map(|(role, name)| Arc::new(AtOnce { role, name }) as Arc<dyn ModelBackend>);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let store = Arc::new(MemoryRoutes::default());
        let router = Router::new(backends.into(), RouterPolicy::default(), store, clock);
        let strategy: RoutingStrategy = word.parse().map_err(|error| format!("{error}"))?;
        router.chat(&request, Wish::Strategy(strategy)).await?;
        let began = Instant::now();
        for _ in 0..DECISIONS {
            router.chat(&request, Wish::Strategy(strategy)).await?;
        }
        let each = began.elapsed().as_secs_f64() * 1e6 / f64::from(DECISIONS);
        say(&format!("{word:<22} {each:>6.1} us"));
    }
    Ok(())
}
