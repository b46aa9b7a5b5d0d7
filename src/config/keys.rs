//! Every key of the configuration, with its default: the one table that loading, the example file and
//! the README are held to.

/// A key of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name, with the table it stands in: `limits.body`.
    pub name: &'static str,
    /// Its default, as TOML; empty if it has none.
    pub default: &'static str,
    /// What it means, in one line.
    pub meaning: &'static str,
}

const fn key(name: &'static str, default: &'static str, meaning: &'static str) -> Key {
    Key {
        name,
        default,
        meaning,
    }
}

/// All keys but those of `[[route]]`, in the order of the example file.
pub const KEYS: &[Key] = &[
    key(
        "listen",
        r#""127.0.0.1:8080""#,
        "address to accept requests on, or a list of them: `127.0.0.1:8080`, `unix:/path`, `https://…` with `[tls]`",
    ),
    key(
        "admin",
        r#""127.0.0.1:8081""#,
        "address of health and metrics, `unix:/path`, or `off`; not loopback only with `access.allow_remote`",
    ),
    key(
        "admin_quit",
        "false",
        "`POST /quitquitquit` at the address of `admin` stops the proxy, for whoever may connect to it",
    ),
    key(
        "upstream",
        "",
        "where requests go: scheme, host and an optional base path; `https`, or `http` to loopback",
    ),
    key(
        "stage",
        r#""RELEASE""#,
        "environment of the API, sent as `x-stage`",
    ),
    key(
        "methods",
        r#"["GET", "POST", "PUT", "DELETE"]"#,
        "methods that callers may use; `*` allows any",
    ),
    key(
        "auth.mode",
        r#""aksk""#,
        "what requests show: `aksk` (a signature), `token`, `app-code` or `api-key`",
    ),
    key(
        "credentials.source",
        r#""auto""#,
        "where the signing key comes from: `auto`, `env`, `file`, `profile`, `metadata`, `pod-identity`, `oidc` or `idp`",
    ),
    key(
        "credentials.file",
        r#""credentials.csv""#,
        "file with the key; naming one makes it the source",
    ),
    key(
        "credentials.user",
        r#""""#,
        "user name of the row to take from a file with several keys; empty for the first",
    ),
    key(
        "credentials.project_id",
        r#""""#,
        "sent and signed as `X-Project-Id` when set",
    ),
    key(
        "credentials.metadata_endpoint",
        r#""http://169.254.169.254""#,
        "the metadata service that `metadata` asks",
    ),
    key(
        "credentials.sts_endpoint",
        r#""""#,
        "the STS that `oidc` asks; empty for `HUAWEICLOUD_SDK_STS_ENDPOINT`, or the one of cn-north-4",
    ),
    key(
        "credentials.iam_endpoint",
        r#""""#,
        "the IAM that `idp` and tokens ask; empty for `HUAWEICLOUD_SDK_IAM_ENDPOINT`, or `https://iam.myhuaweicloud.com`",
    ),
    key(
        "credentials.token_file",
        r#""""#,
        "file with a token for `token`, kept fresh by somebody else",
    ),
    key(
        "credentials.iam_user_file",
        r#""""#,
        "file with the name of the IAM user that tokens are asked for",
    ),
    key(
        "credentials.iam_password_file",
        r#""""#,
        "file with its password",
    ),
    key(
        "credentials.iam_domain_file",
        r#""""#,
        "file with the name of its account (domain)",
    ),
    key(
        "credentials.iam_project",
        r#""""#,
        "name of the project that tokens are for, like `cn-north-4`; empty for the whole account",
    ),
    key(
        "credentials.app_code_file",
        r#""""#,
        "file with the code for `app-code`",
    ),
    key(
        "credentials.api_key_file",
        r#""""#,
        "file with the key for `api-key`, as text or as the CSV of the console",
    ),
    key(
        "signing.unsigned",
        r#"["multipart/*", "application/grpc"]"#,
        "media types streamed as UNSIGNED-PAYLOAD; `*` for all",
    ),
    key("limits.body", r#""12MiB""#, "longest request body"),
    key(
        "limits.large_body",
        r#""reject""#,
        "what happens to longer ones: `reject`, or `token` to send them with a token instead of a signature",
    ),
    key(
        "limits.large_body_max",
        r#""1GiB""#,
        "longest request body that goes out with a token",
    ),
    key(
        "limits.buffered",
        r#""256MiB""#,
        "all hashed bodies held in memory at once; at most three eighths of the memory that the process may have",
    ),
    key(
        "limits.connections",
        "4096",
        "connections of callers at once",
    ),
    key("limits.header", r#""64KiB""#, "longest request head"),
    key(
        "limits.answer_header",
        r#""256KiB""#,
        "longest head of a gateway's answer",
    ),
    key(
        "timeouts.connect",
        r#""5s""#,
        "name lookup, TCP and TLS to the gateway",
    ),
    key(
        "timeouts.header_read",
        r#""10s""#,
        "from the beginning of a connection, or of a later request, until a head is complete",
    ),
    key(
        "timeouts.keep_alive",
        r#""75s""#,
        "from an answer until the next request of the same connection begins",
    ),
    key(
        "timeouts.body_idle",
        r#""30s""#,
        "between two pieces of a request body",
    ),
    key(
        "timeouts.response",
        r#""300s""#,
        "from the request being sent until the head of the answer",
    ),
    key(
        "timeouts.idle",
        r#""300s""#,
        "between two pieces of an answer",
    ),
    key(
        "timeouts.drain_delay",
        r#""0s""#,
        "from SIGTERM until no more connections are accepted, while `/readyz` says 503 already",
    ),
    key(
        "timeouts.shutdown",
        r#""30s""#,
        "for running requests to finish after that",
    ),
    key(
        "pool.connections",
        "1024",
        "connections to one gateway at once; further requests wait for one",
    ),
    key(
        "pool.idle",
        r#""50s""#,
        "longest time that a connection to the gateway is kept unused; less if the gateway closes earlier",
    ),
    key(
        "pool.age",
        r#""10m""#,
        "oldest that a connection to the gateway gets, so that a changed DNS answer takes effect",
    ),
    key(
        "pool.warm",
        "0",
        "ignored, with a warning; goes away with the next version",
    ),
    key(
        "pool.http2",
        r#""auto""#,
        "`auto`: while many requests are under way, those with bodies up to 64 KiB share connections with HTTP/2 if the gateway speaks it; `off`: HTTP/1.1 only",
    ),
    key(
        "access.hosts",
        "[]",
        "`Host` names allowed beside localhost, 127.0.0.1, [::1] and the bound addresses",
    ),
    key(
        "access.origins",
        "[]",
        "origins of web pages that may call, as browsers send them: `http://localhost:3000`",
    ),
    key(
        "access.browser",
        "false",
        "open pages through the proxy in a browser: typed addresses, and what those pages send; never prefetches",
    ),
    key(
        "access.token_file",
        r#""""#,
        "file with a token that callers must send as `X-Apig-Proxy-Token`",
    ),
    key(
        "access.allow_remote",
        "false",
        "listen on addresses that are not loopback; those for callers need `access.token_file` or `tls.client_ca_file` too",
    ),
    key(
        "unix_socket.mode",
        r#""0600""#,
        "permissions of unix sockets, in octal digits",
    ),
    key(
        "unix_socket.owner",
        r#""""#,
        "user that a unix socket belongs to, by name or number; empty for the one that runs the proxy",
    ),
    key(
        "unix_socket.group",
        r#""""#,
        "group that a unix socket belongs to, by name or number",
    ),
    key(
        "unix_socket.allowed_uids",
        "[]",
        "numbers of the users that may connect to a unix socket; empty for all who can open it",
    ),
    key(
        "tls.cert_file",
        r#""""#,
        "PEM file with the certificate for `https://` addresses of `listen`; read again when it changes",
    ),
    key(
        "tls.key_file",
        r#""""#,
        "PEM file with its key, which others must not be able to read",
    ),
    key(
        "tls.client_ca_file",
        r#""""#,
        "PEM file with the roots of certificates that callers must show; empty for none",
    ),
    key(
        "upstream_tls.ca_file",
        r#""""#,
        "PEM file with roots to trust beside the system's",
    ),
    key(
        "clock.correct",
        "true",
        "sign with the gateway's time, learned from its answers; `false` only reports the difference",
    ),
    key("log.format", r#""text""#, "`text` or `json`"),
    key(
        "log.level",
        r#""info""#,
        "`off`, `error`, `warn`, `info`, `debug` or `trace`",
    ),
    key(
        "log.access",
        "true",
        "one line for each request when it has ended, at level `info`",
    ),
];

/// The keys of a `[[route]]`.
pub const ROUTE_KEYS: &[Key] = &[
    key("path", "", "prefix of the paths that the route takes"),
    key(
        "upstream",
        "",
        "where they go; its path takes the place of the prefix",
    ),
    key(
        "stage",
        "",
        "as the top-level `stage`, which is its default",
    ),
    key("auth", "", "as `auth.mode`, which is its default"),
    key(
        "credentials",
        "",
        "NAME of the `[credentials.NAME]` that it uses; `[credentials]` without it",
    ),
    key(
        "large_body",
        "",
        "as `limits.large_body`; said here, `token` is for bodies of unknown length too",
    ),
    key(
        "methods",
        "",
        "methods that callers may use here, of those in the top-level `methods`",
    ),
    key(
        "paths",
        "",
        "paths that callers may use here, exact or with `/*` for all below; all without it",
    ),
];

/// The known key that is spelt most like `name`, or has its name in another table, if there is one.
pub(super) fn nearest(name: &str, keys: &[Key]) -> Option<&'static str> {
    let last = |name: &str| name.rsplit('.').next().map(str::to_owned);
    let close = keys
        .iter()
        .map(|key| (distance(name, key.name), key.name))
        .filter(|(distance, _)| *distance <= 2)
        .min();
    let misplaced = || keys.iter().find(|key| last(key.name) == last(name));
    close
        .map(|(_, name)| name)
        .or_else(|| misplaced().map(|key| key.name))
}

/// The number of single-character edits between two names.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_key_is_told_which_one_is_meant() {
        assert_eq!(nearest("limits.bdoy", KEYS), Some("limits.body"));
        assert_eq!(nearest("upsteam", KEYS), Some("upstream"));
        assert_eq!(nearest("body", KEYS), Some("limits.body"));
        assert_eq!(nearest("something.else", KEYS), None);
    }
}
