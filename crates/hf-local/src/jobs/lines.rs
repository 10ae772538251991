//! Cuts a byte stream into log lines of bounded length.

use tokio::io::{AsyncRead, AsyncReadExt};

/// Turns the output of a process into lines of text, whatever the size of the pieces it arrives in.
///
/// A line longer than the bound is cut at a character boundary and goes on as the next line, as container
/// runtimes do. A carriage return is text, except the one before a newline. Bytes that are not UTF-8 are
/// replaced by U+FFFD.
#[derive(Debug)]
pub(crate) struct LineSplitter {
    buffer: Vec<u8>,
    max_bytes: usize,
}

/// How much is read from a pipe at once.
const PIPE_BYTES: usize = 16 * 1024;

/// The output of a process, read as lines.
#[derive(Debug)]
pub(crate) struct LinePipe<P> {
    pipe: P,
    splitter: LineSplitter,
    bytes: Vec<u8>,
    is_over: bool,
}

impl<P: AsyncRead + Unpin> LinePipe<P> {
    pub(crate) fn new(pipe: P, max_line_bytes: usize) -> Self {
        Self {
            pipe,
            splitter: LineSplitter::new(max_line_bytes),
            bytes: vec![0; PIPE_BYTES],
            is_over: false,
        }
    }

    /// The lines that came since the last call, at least one; none at the end.
    pub(crate) async fn next(&mut self) -> Option<Vec<String>> {
        while !self.is_over {
            let mut batch = Vec::new();
            // An error of a pipe is its end.
            if let Ok(read @ 1..) = self.pipe.read(&mut self.bytes).await {
                self.splitter.push(&self.bytes[..read], &mut batch);
            } else {
                self.is_over = true;
                batch.extend(self.splitter.finish());
            }
            if !batch.is_empty() {
                return Some(batch);
            }
        }
        None
    }
}

/// The longest UTF-8 sequence; a bound below it could not make progress.
const MIN_LINE_BYTES: usize = 4;

impl LineSplitter {
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self {
            buffer: Vec::new(),
            max_bytes: max_bytes.max(MIN_LINE_BYTES),
        }
    }

    /// Takes a piece of output and adds the lines it completes to `lines`.
    pub(crate) fn push(&mut self, mut piece: &[u8], lines: &mut Vec<String>) {
        while !piece.is_empty() {
            // One byte past the bound tells a full line from a line that is too long.
            let room = self.max_bytes + 1 - self.buffer.len();
            let window = &piece[..piece.len().min(room)];
            if let Some(end) = window.iter().position(|&byte| byte == b'\n') {
                self.buffer.extend_from_slice(&window[..end]);
                piece = &piece[end + 1..];
                if self.buffer.last() == Some(&b'\r') {
                    self.buffer.pop();
                }
                lines.push(String::from_utf8_lossy(&self.buffer).into_owned());
                self.buffer.clear();
            } else {
                self.buffer.extend_from_slice(window);
                piece = &piece[window.len()..];
                if self.buffer.len() > self.max_bytes {
                    let cut = char_boundary(&self.buffer, self.max_bytes);
                    lines.push(String::from_utf8_lossy(&self.buffer[..cut]).into_owned());
                    self.buffer.drain(..cut);
                }
            }
        }
    }

    /// Gives the last line when the stream ended without a newline.
    pub(crate) fn finish(&mut self) -> Option<String> {
        if self.buffer.is_empty() {
            return None;
        }
        let line = String::from_utf8_lossy(&self.buffer).into_owned();
        self.buffer.clear();
        Some(line)
    }
}

/// The last place at or before `limit` where a character starts; `limit` itself when the bytes are not UTF-8.
fn char_boundary(bytes: &[u8], limit: usize) -> usize {
    (limit.saturating_sub(3)..=limit)
        .rev()
        .find(|&at| at > 0 && bytes.get(at).is_none_or(|byte| byte & 0b1100_0000 != 0b1000_0000))
        .unwrap_or(limit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(pieces: &[&[u8]], max_bytes: usize) -> Vec<String> {
        let mut splitter = LineSplitter::new(max_bytes);
        let mut lines = Vec::new();
        for piece in pieces {
            splitter.push(piece, &mut lines);
        }
        lines.extend(splitter.finish());
        lines
    }

    #[test]
    fn a_last_line_without_newline_is_kept() {
        assert_eq!(split(&[b"one\ntw", b"o"], 100), ["one", "two"]);
        assert_eq!(split(&[b"one\n"], 100), ["one"]);
        assert_eq!(split(&[b"\n\n"], 100), ["", ""]);
    }

    #[test]
    fn carriage_returns_are_text_except_before_a_newline() {
        assert_eq!(
            split(&[b"10%\r20%\r30%\r\ndone\n"], 100),
            ["10%\r20%\r30%", "done"]
        );
    }

    #[test]
    fn a_line_as_long_as_the_bound_is_one_line() {
        assert_eq!(split(&[b"12345678\n"], 8), ["12345678"]);
        assert_eq!(split(&[b"123456789\n"], 8), ["12345678", "9"]);
    }

    #[test]
    fn a_cut_falls_between_characters() {
        let text = "aé€😀b".repeat(5);
        let lines = split(&[text.as_bytes()], 8);
        assert!(
            lines
                .iter()
                .all(|line| line.len() <= 8 && !line.contains('\u{fffd}')),
            "{lines:?}"
        );
        assert_eq!(lines.concat(), text);
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        assert_eq!(
            split(&[b"a\xffb\n", b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\n"], 8).len(),
            3
        );
        assert_eq!(split(&[b"a\xffb\n"], 8), ["a\u{fffd}b"]);
    }

    proptest! {
        #[test]
        fn the_lines_do_not_depend_on_how_the_bytes_arrive(
            bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'a'), any::<u8>()], 0..300),
            cuts in proptest::collection::vec(0usize..300, 0..10),
            max in 4usize..40,
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts {
                pieces.push(&bytes[from..cut]);
                from = cut;
            }
            pieces.push(&bytes[from..]);
            prop_assert_eq!(split(&pieces, max), split(&[&bytes], max));
        }

        #[test]
        fn no_character_of_valid_text_is_lost(text in "[a-zé€😀\n]{0,200}", max in 4usize..40) {
            let lines = split(&[text.as_bytes()], max);
            prop_assert!(lines.iter().all(|line| line.len() <= max));
            prop_assert_eq!(lines.concat(), text.replace('\n', ""));
        }
    }
}
