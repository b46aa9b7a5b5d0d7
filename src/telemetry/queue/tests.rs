//! Targets that are full, gone, torn or slow.

use std::io::Read;
use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;

/// A target whose every write goes as the test says.
struct Scripted {
    /// How many bytes the next write takes, or why it takes none.
    script: Receiver<io::Result<usize>>,
    taken: Sender<Vec<u8>>,
}

impl Write for Scripted {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let length = self
            .script
            .recv()
            .unwrap_or(Ok(usize::MAX))?
            .min(lines.len());
        self.taken.send(lines[..length].to_vec()).unwrap();
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a target takes of lines, one write after the other, and how many lines it loses.
fn written(script: Vec<io::Result<usize>>, batches: &[&str]) -> (String, u64) {
    let ((tell, script_end), (taken, takes)) = (channel(), channel());
    script.into_iter().for_each(|step| tell.send(step).unwrap());
    drop(tell);
    let mut target = Target::new(Scripted {
        script: script_end,
        taken,
    });
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

fn full() -> io::Result<usize> {
    Err(ErrorKind::StorageFull.into())
}

#[test]
fn what_a_full_target_does_not_take_is_counted_and_the_rest_written() {
    let batches = ["a\nb\n", "c\n"];
    assert_eq!(written(vec![], &batches), ("a\nb\nc\n".to_owned(), 0));
    assert_eq!(written(vec![full()], &batches), ("c\n".to_owned(), 2));
    assert_eq!(written(vec![Ok(0)], &batches), ("c\n".to_owned(), 2));
    assert_eq!(
        written(vec![Ok(2), full()], &batches),
        ("a\nc\n".to_owned(), 1)
    );
}

#[test]
fn a_line_that_broke_off_is_ended_before_the_next() {
    let torn = written(vec![Ok(3), full()], &["aa\nbb\n", "c\n"]);
    assert_eq!(torn, ("aa\nc\n".to_owned(), 1));
    let torn = written(
        vec![Ok(4), full(), full(), Ok(1)],
        &["aa\nbb\n", "c\n", "d\n"],
    );
    assert_eq!(torn, ("aa\nb\nd\n".to_owned(), 2));
}

#[test]
fn a_write_that_is_interrupted_or_would_block_is_tried_again() {
    let script = vec![
        Err(ErrorKind::Interrupted.into()),
        Ok(1),
        Err(ErrorKind::WouldBlock.into()),
    ];
    assert_eq!(written(script, &["ab\n"]), ("ab\n".to_owned(), 0));
}

#[test]
fn lines_are_written_in_pieces_that_a_pipe_keeps_together() {
    let line = format!("{}\n", "x".repeat(1499));
    assert_eq!(whole_lines(line.repeat(5).as_bytes()), 3000);
    let long = format!("{}\n", "x".repeat(9999));
    assert_eq!(whole_lines(format!("{long}a\n").as_bytes()), 10_000);
    assert_eq!(whole_lines(b"no end"), 6);
}

#[test]
fn a_target_that_stands_still_holds_up_nobody_and_what_it_missed_is_told() {
    let (mut reader, writer) = io::pipe().unwrap();
    let (tell, told) = channel();
    let queue = Queue::start(writer, move |dropped| tell.send(dropped).unwrap()).unwrap();
    let line = format!("{}\n", "x".repeat(99));
    // A pipe takes 64 KiB, and as much again may have been taken out of the queue.
    let lines = 2 * CAPACITY / 100 + 1000;
    for _ in 0..lines {
        queue.push(line.as_bytes());
    }
    let dropped = queue.dropped();
    assert!(dropped > 0, "more than fits was added");
    assert!(told.try_recv().is_err());
    queue.flush(Duration::from_millis(50));
    let mut read = vec![0; (lines - usize::try_from(dropped).unwrap()) * 100];
    reader.read_exact(&mut read).unwrap();
    assert_eq!(told.recv().unwrap(), dropped);
    queue.flush(Duration::from_secs(10));
    assert_eq!(queue.dropped(), dropped);
}

#[test]
fn a_pipe_whose_reader_has_gone_costs_lines_only() {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let queue = Queue::start(writer, |_| {}).unwrap();
    for _ in 0..10 {
        queue.push(b"line\n");
        queue.flush(Duration::from_secs(10));
    }
    assert_eq!(queue.dropped(), 10);
}

#[test]
fn flushing_waits_for_what_is_being_written() {
    let ((tell, script), (taken, takes)) = (channel(), channel());
    let queue = Queue::start(Scripted { script, taken }, |_| {}).unwrap();
    queue.push(b"a\n");
    queue.flush(Duration::from_millis(20));
    assert!(takes.try_recv().is_err(), "it is not written yet");
    tell.send(Ok(usize::MAX)).unwrap();
    queue.flush(Duration::from_secs(10));
    assert_eq!(takes.try_recv().unwrap(), b"a\n");
}
