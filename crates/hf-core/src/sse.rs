//! Server-sent events, read as they arrive.

/// One event of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SseEvent {
    /// The `event:` field; unnamed events have none.
    pub event: Option<String>,
    /// The `data:` lines, joined by line feeds.
    pub data: String,
    /// The last `id:` seen so far on this stream.
    pub id: Option<String>,
}

/// What a stream holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SseItem {
    /// An event.
    Event(SseEvent),
    /// A comment line, which servers send to keep the connection alive.
    Comment(String),
}

/// How much one line and one event may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SseLimits {
    /// The longest line in bytes.
    pub line_bytes: usize,
    /// The largest event in bytes.
    pub event_bytes: usize,
}

impl Default for SseLimits {
    fn default() -> Self {
        Self {
            line_bytes: 4 << 20,
            event_bytes: 8 << 20,
        }
    }
}

/// Why a stream can not be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SseError {
    /// A line is longer than [`SseLimits::line_bytes`].
    #[error("a line of the event stream is longer than {0} bytes")]
    LineTooLong(usize),
    /// An event is larger than [`SseLimits::event_bytes`].
    #[error("an event of the stream is larger than {0} bytes")]
    EventTooLarge(usize),
}

/// An incremental parser of `text/event-stream`.
///
/// Chunks may be cut anywhere, inside a line ending or a character too; the events are the same. Line endings are LF, CR
/// or CRLF. Bytes that are not UTF-8 become U+FFFD.
///
/// ```
/// use hf_core::{SseItem, SseParser};
/// let mut parser = SseParser::default();
/// let mut items = Vec::new();
/// parser.push(b"data: a\xc3", &mut items).unwrap();
/// parser.push(b"\xa9\n\n", &mut items).unwrap();
/// assert!(matches!(&items[..], [SseItem::Event(event)] if event.data == "aé"));
/// ```
///
/// # Source
/// WHATWG HTML, "Server-sent events", event stream interpretation.
#[derive(Debug, Default)]
pub struct SseParser {
    limits: SseLimits,
    line: Vec<u8>,
    /// The last byte was a CR, so an LF that follows belongs to it.
    after_cr: bool,
    past_first_line: bool,
    event: Option<String>,
    data: String,
    has_data: bool,
    id: Option<String>,
}

impl SseParser {
    /// Makes a parser with limits of its own.
    pub fn new(limits: SseLimits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// Reads a chunk and appends what is complete to `items`.
    ///
    /// # Errors
    /// [`SseError`] when a limit is passed. The parser is of no more use then.
    pub fn push(&mut self, chunk: &[u8], items: &mut Vec<SseItem>) -> Result<(), SseError> {
        let mut rest = chunk;
        if self.after_cr && !rest.is_empty() {
            self.after_cr = false;
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
        while let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            self.extend_line(&rest[..end])?;
            let ending = rest[end];
            rest = &rest[end + 1..];
            if ending == b'\r' {
                match rest.first() {
                    Some(b'\n') => rest = &rest[1..],
                    Some(_) => {}
                    None => self.after_cr = true,
                }
            }
            self.end_line(items)?;
        }
        self.extend_line(rest)
    }

    /// Whether the stream stands inside an event: ending here loses it.
    pub fn is_inside_event(&self) -> bool {
        self.has_data || self.event.is_some() || !self.line.is_empty()
    }

    fn extend_line(&mut self, bytes: &[u8]) -> Result<(), SseError> {
        if self.line.len() + bytes.len() > self.limits.line_bytes {
            return Err(SseError::LineTooLong(self.limits.line_bytes));
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn end_line(&mut self, items: &mut Vec<SseItem>) -> Result<(), SseError> {
        let mut bytes = std::mem::take(&mut self.line);
        let bare = if self.past_first_line {
            &bytes[..]
        } else {
            bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes)
        };
        self.past_first_line = true;
        let result = self.take_line(&String::from_utf8_lossy(bare), items);
        // The buffer is kept for the next line, unless one huge line made it huge.
        if bytes.capacity() <= 64 * 1024 {
            bytes.clear();
            self.line = bytes;
        }
        result
    }

    fn take_line(&mut self, line: &str, items: &mut Vec<SseItem>) -> Result<(), SseError> {
        if line.is_empty() {
            self.dispatch(items);
            return Ok(());
        }
        if let Some(comment) = line.strip_prefix(':') {
            items.push(SseItem::Comment(
                comment.strip_prefix(' ').unwrap_or(comment).to_owned(),
            ));
            return Ok(());
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                if self.data.len() + value.len() + 1 > self.limits.event_bytes {
                    return Err(SseError::EventTooLarge(self.limits.event_bytes));
                }
                if self.has_data {
                    self.data.push('\n');
                }
                self.data.push_str(value);
                self.has_data = true;
            }
            "event" => self.event = Some(value.to_owned()),
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            // `retry` is a wish about reconnecting, which the callers of this crate decide by themselves.
            _ => {}
        }
        Ok(())
    }

    fn dispatch(&mut self, items: &mut Vec<SseItem>) {
        let event = self.event.take().filter(|name| !name.is_empty());
        if std::mem::take(&mut self.has_data) {
            let data = std::mem::take(&mut self.data);
            items.push(SseItem::Event(SseEvent {
                event,
                data,
                id: self.id.clone(),
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(chunks: &[&[u8]]) -> Vec<SseItem> {
        let mut parser = SseParser::default();
        let mut items = Vec::new();
        for chunk in chunks {
            parser.push(chunk, &mut items).unwrap();
        }
        items
    }

    fn data(items: &[SseItem]) -> Vec<&str> {
        items
            .iter()
            .filter_map(|item| match item {
                SseItem::Event(event) => Some(event.data.as_str()),
                SseItem::Comment(_) => None,
            })
            .collect()
    }

    #[test]
    fn fields_follow_the_standard() {
        let items = parse(&[b"\xef\xbb\xbfdata: a\n: keep-alive\ndata:b\ndata\n\nid: 7\nevent: metric\ndata:  c\n\nevent: x\n\ndata: d\n\n"]);
        let event = |event: Option<&str>, data: &str, id: Option<&str>| {
            SseItem::Event(SseEvent {
                event: event.map(Into::into),
                data: data.into(),
                id: id.map(Into::into),
            })
        };
        assert_eq!(
            items,
            [
                SseItem::Comment("keep-alive".into()),
                event(None, "a\nb\n", None),
                event(Some("metric"), " c", Some("7")),
                event(None, "d", Some("7")),
            ]
        );
    }

    #[test]
    fn all_line_endings_are_read() {
        assert_eq!(
            data(&parse(&[b"data: a\r\n\r\ndata: b\r\rdata: c\n\n"])),
            ["a", "b", "c"]
        );
        assert_eq!(
            data(&parse(&[b"data: a\r", b"\n\r", b"\ndata: b\r", b"\r", b"\n"])),
            ["a", "b"]
        );
    }

    #[test]
    fn an_event_without_its_blank_line_is_not_complete() {
        let mut parser = SseParser::default();
        let mut items = Vec::new();
        parser.push(b"data: a\n", &mut items).unwrap();
        assert!(items.is_empty() && parser.is_inside_event());
        parser.push(b"\n", &mut items).unwrap();
        assert!(items.len() == 1 && !parser.is_inside_event());
    }

    #[test]
    fn endless_lines_and_events_end_in_an_error() {
        let limits = SseLimits {
            line_bytes: 10,
            event_bytes: 25,
        };
        let mut items = Vec::new();
        let mut parser = SseParser::new(limits);
        parser.push(b"data: 1234", &mut items).unwrap();
        assert_eq!(parser.push(b"5", &mut items), Err(SseError::LineTooLong(10)));
        let mut parser = SseParser::new(limits);
        let result = (0..20).try_for_each(|_| parser.push(b"data: 12\n", &mut items));
        assert_eq!(result, Err(SseError::EventTooLarge(25)));
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_items(
            pieces in prop::collection::vec(
                prop_oneof![
                    Just("\n".to_owned()), Just("\r".to_owned()), Just("\r\n".to_owned()), Just("\n\n".to_owned()),
                    Just("data: ".to_owned()), Just("event:".to_owned()), Just("id: ".to_owned()), Just(": ".to_owned()),
                    Just("\u{feff}".to_owned()), "[a-z:é😀 ]{0,6}",
                ],
                0..40,
            ),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        ) {
            let text = pieces.concat().into_bytes();
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            at.push(0);
            at.push(text.len());
            at.sort_unstable();
            let chunks: Vec<&[u8]> = at.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
            prop_assert_eq!(parse(&chunks), parse(&[&text]));
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&[&bytes]);
        }
    }
}
