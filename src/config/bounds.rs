//! Keys that are numbers, times or one of a few words: `[limits]`, `[timeouts]`, `[pool]`, `[log]`.

use tracing::level_filters::LevelFilter;

use super::judge::Judge;
use super::{LargeBody, Limits, LogConfig, LogFormat, PoolConfig, Timeouts};

/// The most connections that can be asked for: as many as Linux gives descriptors to one process.
const CONNECTIONS: usize = 1_048_576;

const MIB: u64 = 1024 * 1024;

/// The words of `limits.large_body`, and of that of a route: whether a token is wanted.
pub(super) const LARGE_BODY: [(&str, bool); 2] = [("reject", false), ("token", true)];
pub(super) const EXPECTED_LARGE_BODY: &str = "expected \"reject\" or \"token\"";

/// What happens to long bodies where a route does not say it: those whose length is not known are hashed.
pub(super) fn large_body(judge: &mut Judge<'_>) -> LargeBody {
    match judge.word("limits.large_body", &LARGE_BODY, EXPECTED_LARGE_BODY) {
        Some(true) => LargeBody::Token { unknown: false },
        Some(false) | None => LargeBody::Reject,
    }
}

pub(super) fn limits(judge: &mut Judge<'_>) -> Limits {
    let body = judge.size(
        "limits.body",
        1,
        1024 * MIB,
        "expected a size up to \"1GiB\", like \"12MiB\"",
    );
    let large_body = judge.size(
        "limits.large_body_max",
        1,
        10 * 1024 * MIB,
        "expected a size up to \"10GiB\", like \"1GiB\"",
    );
    let buffered = judge.size(
        "limits.buffered",
        1,
        u64::MAX,
        "expected a size above zero, like \"256MiB\"",
    );
    if (1..body).contains(&buffered) {
        judge.report(
            "limits.buffered",
            "expected at least limits.body, or the longest body could never be held",
        );
    }
    let header = judge.size(
        "limits.header",
        8 * 1024,
        MIB,
        "expected a size from \"8KiB\" to \"1MiB\"",
    );
    let answer_header = judge.size(
        "limits.answer_header",
        8 * 1024,
        MIB,
        "expected a size from \"8KiB\" to \"1MiB\"",
    );
    Limits {
        body,
        large_body,
        buffered,
        connections: judge.count(
            "limits.connections",
            1..=CONNECTIONS,
            "expected a number from 1 to 1048576",
        ),
        header: usize::try_from(header).unwrap_or(usize::MAX),
        answer_header: usize::try_from(answer_header).unwrap_or(usize::MAX),
    }
}

pub(super) fn timeouts(judge: &mut Judge<'_>) -> Timeouts {
    Timeouts {
        connect: judge.duration("timeouts.connect"),
        header_read: judge.duration("timeouts.header_read"),
        keep_alive: judge.duration("timeouts.keep_alive"),
        body_idle: judge.duration("timeouts.body_idle"),
        response: judge.duration("timeouts.response"),
        idle: judge.duration("timeouts.idle"),
        drain_delay: judge.delay("timeouts.drain_delay"),
        shutdown: judge.duration("timeouts.shutdown"),
    }
}

pub(super) fn pool(judge: &mut Judge<'_>) -> PoolConfig {
    let connections = judge.count(
        "pool.connections",
        1..=CONNECTIONS,
        "expected a number from 1 to 1048576",
    );
    let warm = judge.count(
        "pool.warm",
        0..=CONNECTIONS,
        "expected a number from 0 to 1048576",
    );
    if warm > 0 {
        judge.warn(
            "pool.warm",
            "connections are opened when they are needed, so this is ignored; remove it, the next version refuses it",
        );
    }
    PoolConfig {
        connections,
        idle: judge.duration("pool.idle"),
        age: judge.duration("pool.age"),
        http2: judge
            .word(
                "pool.http2",
                &[("auto", true), ("off", false)],
                "expected \"auto\" or \"off\"",
            )
            .unwrap_or(true),
    }
}

pub(super) fn log(judge: &mut Judge<'_>) -> LogConfig {
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    let levels = [
        ("off", LevelFilter::OFF),
        ("error", LevelFilter::ERROR),
        ("warn", LevelFilter::WARN),
        ("info", LevelFilter::INFO),
        ("debug", LevelFilter::DEBUG),
        ("trace", LevelFilter::TRACE),
    ];
    let level = "expected \"off\", \"error\", \"warn\", \"info\", \"debug\" or \"trace\"";
    LogConfig {
        format: judge
            .word("log.format", &formats, "expected \"text\" or \"json\"")
            .unwrap_or(LogFormat::Text),
        level: judge
            .word("log.level", &levels, level)
            .unwrap_or(LevelFilter::INFO),
        access: judge.boolean("log.access").unwrap_or(true),
    }
}
