//! Targets that are full, closed, torn or slow.

use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;

/// A target whose writes go by a script: how many bytes one takes, or its error.
struct Scripted {
    script: Receiver<io::Result<usize>>,
    taken: Sender<Vec<u8>>,
}

impl Write for Scripted {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let step = self.script.recv().unwrap_or(Ok(usize::MAX));
        let length = step?.min(lines.len());
        self.taken.send(lines[..length].to_vec()).unwrap();
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a target takes of batches of lines, and how many lines it loses.
fn written(steps: Vec<io::Result<usize>>, batches: &[&str]) -> (String, u64) {
    let ((tell, script), (taken, takes)) = (channel(), channel());
    steps.into_iter().for_each(|step| tell.send(step).unwrap());
    drop(tell);
    let out = Scripted { script, taken };
    let mut target = Target {
        out,
        is_torn: false,
    };
    let lost = batches
        .iter()
        .map(|lines| target.write(lines.as_bytes()))
        .sum();
    drop(target);
    (
        String::from_utf8(takes.iter().flatten().collect()).unwrap(),
        lost,
    )
}

fn failed(kind: ErrorKind) -> io::Result<usize> {
    Err(kind.into())
}

#[test]
fn lines_that_a_target_does_not_take_are_counted_and_a_torn_one_is_ended() {
    let full = || failed(ErrorKind::StorageFull);
    let again = vec![
        failed(ErrorKind::Interrupted),
        Ok(1),
        failed(ErrorKind::WouldBlock),
    ];
    for (steps, batches, expected) in [
        (vec![], &["a\nb\n", "c\n"][..], ("a\nb\nc\n", 0)),
        (vec![full()], &["a\nb\n", "c\n"], ("c\n", 2)),
        (vec![Ok(0)], &["a\nb\n", "c\n"], ("c\n", 2)),
        (vec![Ok(2), full()], &["a\nb\n", "c\n"], ("a\nc\n", 1)),
        (vec![Ok(3), full()], &["aa\nbb\n", "c\n"], ("aa\nc\n", 1)),
        (
            vec![Ok(4), full(), full()],
            &["aa\nbb\n", "c\n", "d\n"],
            ("aa\nb\nd\n", 2),
        ),
        (again, &["ab\n"], ("ab\n", 0)),
    ] {
        assert_eq!(written(steps, batches), (expected.0.to_owned(), expected.1));
    }
}

#[test]
fn lines_are_written_in_pieces_that_a_pipe_keeps_together() {
    let line = format!("{}\n", "x".repeat(1499));
    assert_eq!(whole_lines(line.repeat(5).as_bytes()), 3000);
    let long = format!("{}\n", "x".repeat(9999));
    assert_eq!(whole_lines(format!("{long}a\n").as_bytes()), 10_000);
    assert_eq!(whole_lines(b"no end"), 6);
}
