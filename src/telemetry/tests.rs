//! What reaches the target, in both formats, of values that callers and peers choose.

use std::sync::{Arc, Mutex};

use super::*;
use crate::error::{Error, Untrusted};

/// A target that keeps what it is given.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(lines);
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The lines that are written of what is logged at `trace`.
fn logged(format: LogFormat, what: impl FnOnce()) -> Vec<String> {
    let kept = Kept::default();
    let queue = Queue::start(kept.clone(), |_| {}).unwrap();
    let config = LogConfig {
        format,
        level: LevelFilter::TRACE,
        access: true,
    };
    let subscriber = subscriber(&config, targets(&config), false, queue);
    tracing::subscriber::with_default(subscriber, what);
    queue.flush(Duration::from_secs(10));
    let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "{text}");
    text.lines().map(str::to_owned).collect()
}

const FORGED: &str = "x\r\n2026-11-23T08:00:00Z ERROR forged\u{1b}[2J\u{9b}1m\u{202e}\u{2066}\u{200f}\u{61c}\u{2028}\u{2029}\u{85}\u{7f}\"}\\";

/// An error of a library that quotes its peer.
#[derive(Debug, thiserror::Error)]
#[error("the peer said {0}")]
struct Quoting(String);

fn log_everything(value: &str) {
    let cause = Error::Tls("", io::Error::other(Quoting(value.to_owned()))).cause();
    let host = Error::HostNotAllowed {
        host: Untrusted::from(value.as_bytes()),
    };
    tracing::info!(%cause, method = value, code = value, debugged = ?value, "refused: {value}");
    tracing::warn!(error = %Quoting(value.to_owned()), cause = %host.cause(), "{}", host);
    tracing::info!(
        "configuration from {}",
        std::path::Path::new(value).display()
    );
    tracing::error!(error = &Quoting(value.to_owned()) as &dyn std::error::Error);
}

#[test]
fn no_value_forges_a_line_commands_a_terminal_or_makes_a_line_long() {
    let long = format!("{}\u{202e}", "\u{1b}€\"".repeat(20_000));
    let is_printable = |text: &str| text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    for format in [LogFormat::Text, LogFormat::Json] {
        let lines = logged(format, || log_everything(FORGED));
        assert_eq!(lines.len(), 4, "{lines:?}");
        assert!(lines[0].contains("forged"), "{lines:?}");
        for line in &lines {
            assert!(is_printable(line), "{line:?}");
            if format == LogFormat::Json {
                let read: serde_json::Value = serde_json::from_str(line).unwrap();
                // What a program that reads JSON prints is harmless as well.
                for value in read.as_object().unwrap().values() {
                    assert!(is_printable(value.as_str().unwrap()), "{value:?}");
                }
            }
        }
        for line in logged(format, || log_everything(&long)) {
            // Five values of 4 KiB, the names, and what is around them.
            assert!(
                line.len() < 5 * 4096 + 512 && line.contains("..."),
                "{line}"
            );
            let is_json = serde_json::from_str::<serde_json::Value>(&line).is_ok();
            assert_eq!(is_json, format == LogFormat::Json, "{line}");
        }
    }
}

#[test]
fn lines_of_json_hold_time_level_message_and_fields_of_their_kinds() {
    let lines = logged(LogFormat::Json, || {
        tracing::warn!(count = 3_u64, offset = -1, is_well = true, code = "a", r#type = ?Some(1), "said {}\nhint: more", 1);
    });
    let read: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
    let time = read["timestamp"].as_str().unwrap();
    assert!(time.ends_with('Z') && time.len() == 27, "{time}");
    assert_eq!(read["level"], "WARN");
    assert_eq!(read["message"], "said 1; hint: more");
    assert_eq!(read["count"], 3);
    assert_eq!(read["offset"], -1);
    assert_eq!(read["is_well"], true);
    assert_eq!(read["code"], "a");
    assert_eq!(read["type"], "Some(1)");
}

#[test]
fn lines_of_text_hold_time_level_message_and_fields_that_are_not_empty() {
    let lines = logged(LogFormat::Text, || {
        tracing::warn!(count = 3, code = "a b", cause = %"c d", none = %"", "said {}", 1);
        tracing::info!(absent = None::<u64>, "usual");
        tracing::info!("wrong\nhint: mend it");
    });
    let texts = lines.iter().map(|line| line.split_at("12:00:01 ".len()));
    let texts: Vec<&str> = texts.map(|(_, text)| text).collect();
    assert_eq!(
        texts,
        [
            "WARN said 1 count=3 code=\"a b\" cause=c d",
            "usual",
            "wrong; hint: mend it"
        ]
    );
}

#[test]
fn libraries_are_kept_at_warnings() {
    let lines = logged(LogFormat::Text, || {
        tracing::trace!(target: "rustls", "bytes of a request");
        tracing::info!(target: "rustls", "bytes of a request");
        tracing::warn!(target: "rustls", "a warning");
        tracing::trace!("own");
    });
    assert_eq!(lines.len(), 2, "{lines:?}");
}

#[test]
fn a_panic_says_where_and_only_at_trace_what_it_was_put_together_of() {
    let here = std::thread::current().id();
    let others = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().id() == here {
            log_panic(panic);
        } else {
            others(panic);
        }
    }));
    let secret = String::from("quoted");
    let lines = logged(LogFormat::Text, || {
        let _ = std::panic::catch_unwind(|| panic!("a fixed text"));
        let _ = std::panic::catch_unwind(|| panic!("{secret}"));
    });
    let [fixed, formatted, message] = &lines[..] else {
        panic!("{lines:?}");
    };
    assert!(fixed.contains("src/telemetry/tests.rs:") && fixed.contains("a fixed text"));
    assert!(formatted.contains("ERROR") && !formatted.contains("quoted"));
    assert!(message.contains("TRACE") && message.contains("quoted"));
}
