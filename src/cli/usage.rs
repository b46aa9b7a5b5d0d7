//! Usage errors: clap's words in the form of all other messages, without the values that were given.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::Failure;

/// The problem on one line, and clap's suggestions as the hint.
pub(super) fn usage_failure(error: &clap::Error) -> Failure {
    let text = without_value(error);
    let mut lines = text.lines().map(str::trim);
    let problem = lines.by_ref().take_while(|line| !line.is_empty());
    let problem = problem.collect::<Vec<_>>().join(" ");
    let problem = problem.strip_prefix("error: ").unwrap_or(&problem);
    let tips: Vec<&str> = lines
        .filter_map(|line| line.strip_prefix("tip: "))
        .collect();
    let hint = match &*tips {
        [] => "`--help` shows what is expected".to_owned(),
        tips => tips.join("; "),
    };
    Failure::usage(format_args!("{problem}\nhint: {hint}"))
}

/// The text of an error without the word that was not understood, which may be a secret in the wrong place.
/// The name of an option stays.
fn without_value(error: &clap::Error) -> String {
    let kind = match error.kind() {
        ErrorKind::UnknownArgument => ContextKind::InvalidArg,
        ErrorKind::InvalidSubcommand | ErrorKind::ArgumentConflict => {
            ContextKind::InvalidSubcommand
        }
        _ => ContextKind::InvalidValue,
    };
    let text = error.to_string();
    match error.get(kind) {
        Some(ContextValue::String(word)) if !word.starts_with('-') => {
            text.replacen(&format!(" '{word}'"), "", 1)
        }
        _ => text,
    }
}
