//! What is printed instead of running a command: help, the version, or a usage error. Errors are clap's
//! words in the form of all other messages, without the values that were given.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::{Exit, say};

/// Prints what clap returned in place of arguments.
pub(super) fn report(error: &clap::Error) -> Exit {
    let exit = match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Ok,
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => Exit::Usage,
        _ => {
            say(message(error));
            return Exit::Usage;
        }
    };
    // Nothing can be done about a closed standard error.
    let _ = error.print();
    exit
}

/// The problem on one line, and clap's suggestions as the hint.
fn message(error: &clap::Error) -> String {
    let text = without_value(error);
    let mut lines = text.lines().map(str::trim);
    let problem = lines.by_ref().take_while(|line| !line.is_empty());
    let problem = problem.collect::<Vec<_>>().join(" ");
    let problem = problem.strip_prefix("error: ").unwrap_or(&problem);
    // Clap also suggests what is far from the word, and to pass options as values.
    let is_close = |tip: &&str| {
        let name = tip.rsplit('\'').nth(1).unwrap_or_default();
        given(error).is_some_and(|given| strsim::levenshtein(given, name) <= 2)
    };
    let mut tips = lines.filter_map(|line| line.strip_prefix("tip: "));
    let hint = match tips.find(is_close) {
        Some(tip) => tip,
        // The word is the program of `run`.
        None if text.contains("[-- <COMMAND>...]")
            && error.kind() == ErrorKind::UnknownArgument
            && !given(error).is_some_and(|word| word.starts_with('-')) =>
        {
            "put `--` before the program, as in `apig-proxy run -- PROGRAM`"
        }
        None if text.contains("subcommand cannot be used with") => {
            "put the command before its options, as in `apig-proxy serve --inspect`; `--help` lists the commands"
        }
        None => "`--help` shows what is expected",
    };
    format!("{problem}\nhint: {hint}")
}

/// The text of an error without the word that was not understood, which may be a secret in the wrong place.
/// The name of an option stays.
fn without_value(error: &clap::Error) -> String {
    let is_unknown = error.kind() == ErrorKind::UnknownArgument;
    let text = error.to_string();
    match given(error) {
        Some(option) if is_unknown && option.starts_with('-') => text,
        Some(word) => text.replacen(&format!(" '{word}'"), "", 1),
        None => text,
    }
}

/// The word that was not understood.
fn given(error: &clap::Error) -> Option<&str> {
    let kind = match error.kind() {
        ErrorKind::UnknownArgument => ContextKind::InvalidArg,
        ErrorKind::InvalidSubcommand | ErrorKind::ArgumentConflict => {
            ContextKind::InvalidSubcommand
        }
        _ => ContextKind::InvalidValue,
    };
    match error.get(kind)? {
        ContextValue::String(word) => Some(word),
        _ => None,
    }
}
