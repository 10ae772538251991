//! A collector of OpenTelemetry's spans, for tests: keeps all it is sent.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message;

/// The path of a request, and its body.
type Request = (String, Vec<u8>);

/// A collector on the loopback, for as long as the test runs.
pub(crate) struct Collector {
    pub(crate) url: String,
    requests: Receiver<Request>,
}

/// A span, as far as tests look at it.
pub(crate) struct Span {
    pub(crate) name: String,
    /// In hexadecimal, as `traceparent` has it.
    pub(crate) trace: String,
    pub(crate) parent: String,
    pub(crate) attributes: BTreeMap<String, Option<Value>>,
    pub(crate) resource: BTreeMap<String, Option<Value>>,
}

/// All that came.
pub(crate) struct Taken {
    pub(crate) paths: Vec<String>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) spans: Vec<Span>,
}

impl Collector {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, requests) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let sender = sender.clone();
                std::thread::spawn(move || serve(stream.unwrap(), &sender));
            }
        });
        Self { url, requests }
    }

    /// All that came until now: each request is kept before it is answered.
    pub(crate) fn taken(&self) -> Taken {
        let (mut paths, mut bytes, mut spans) = (Vec::new(), Vec::new(), Vec::new());
        for (path, body) in self.requests.try_iter() {
            let request = ExportTraceServiceRequest::decode(body.as_slice()).unwrap();
            spans.extend(spans_of(request));
            paths.push(path);
            bytes.extend(body);
        }
        Taken { paths, bytes, spans }
    }
}

impl Taken {
    pub(crate) fn span(&self, name: &str) -> &Span {
        let names: Vec<_> = self.spans.iter().map(|span| span.name.as_str()).collect();
        let found = self.spans.iter().find(|span| span.name == name);
        found.unwrap_or_else(|| panic!("no span {name} among {names:?}"))
    }
}

/// Keeps and answers the requests of one connection.
fn serve(stream: TcpStream, sender: &Sender<Request>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    loop {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            match reader.read_line(&mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) if line == "\r\n" => break,
                Ok(_) => head.push(line.to_ascii_lowercase()),
            }
        }
        let path = head[0].split(' ').nth(1).unwrap().to_owned();
        let length = head.iter().find_map(|line| line.strip_prefix("content-length:"));
        let mut body = vec![0; length.unwrap().trim().parse().unwrap()];
        reader.read_exact(&mut body).unwrap();
        let _ = sender.send((path, body));
        writer
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .unwrap();
    }
}

fn spans_of(request: ExportTraceServiceRequest) -> Vec<Span> {
    let mut spans = Vec::new();
    for of_resource in request.resource_spans {
        let resource = of_resource.resource.unwrap_or_default().attributes;
        for span in of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            spans.push(Span {
                name: span.name,
                trace: hex(&span.trace_id),
                parent: hex(&span.parent_span_id),
                attributes: values(span.attributes),
                resource: values(resource.clone()),
            });
        }
    }
    spans
}

fn values(pairs: Vec<KeyValue>) -> BTreeMap<String, Option<Value>> {
    let value = |pair: KeyValue| (pair.key, pair.value.and_then(|value| value.value));
    pairs.into_iter().map(value).collect()
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}
