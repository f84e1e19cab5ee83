//! The configuration of the two proxies. They do the same relaying; Tollgate does its work besides:
//! key check, five limits on three scopes, price, durable ledger, metrics, log line.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::clients::{KEY, MODEL};

/// A plain reverse proxy with pooled connections; streams have a port of their own, unbuffered.
pub(super) fn nginx(
    calls: SocketAddr,
    streams: SocketAddr,
    origin: SocketAddr,
    folder: &Path,
) -> String {
    let path = folder.display();
    let server = |listen: SocketAddr, buffering: &str| {
        format!(
            "server {{ listen {listen}; location / {{ proxy_pass http://provider; \
             proxy_buffering {buffering}; }} }}\n"
        )
    };
    format!(
        "daemon off;\nworker_processes 1;\nworker_rlimit_nofile 20000;\npid {path}/nginx.pid;\n\
         error_log {path}/error.log;\nevents {{ worker_connections 16384; }}\n\
         http {{\naccess_log off;\nkeepalive_requests 1000000000;\ntcp_nodelay on;\n\
         client_body_temp_path {path}/body;\nproxy_temp_path {path}/proxy;\n\
         fastcgi_temp_path {path}/f;\nuwsgi_temp_path {path}/u;\nscgi_temp_path {path}/s;\n\
         client_max_body_size 20m;\n\
         proxy_http_version 1.1;\nproxy_set_header Connection \"\";\nproxy_read_timeout 600s;\n\
         upstream provider {{ server {origin}; keepalive 1024; \
         keepalive_requests 1000000000; }}\n{}{}}}\n",
        server(calls, "on"),
        server(streams, "off")
    )
}

/// Five limits on three scopes.
pub(super) const LIMITS: &str = r#"[plans.bench]
limits = [
  { name = "burst",    metric = "requests",    window = "sliding 60s", max = 1000000000 },
  { name = "parallel", metric = "concurrency", max = 1000000 },
  { name = "monthly",  metric = "successes",   window = "month",       max = 1000000000 },
]
[limits.per_ip]
scope = "ip"
metric = "requests"
window = "sliding 60s"
max = 1000000000
[limits.company]
scope = "global"
metric = "cost_usd"
window = "day"
max = 1000000.00
"#;

/// The plan without any.
pub(super) const NO_LIMITS: &str = "[plans.bench]\nlimits = []\n";

/// No answer is given twice, or the load would be answered by the cache.
pub(super) const NO_CACHE: &str = "[cache]\nenabled = false\n";

/// Nothing is told of single calls.
pub(super) const SILENT: &str = "[logs]\ncalls = false\n";

/// Each call is a line on standard output and is sent to a collector.
pub(super) fn telling(collector: SocketAddr) -> String {
    format!("[[logs.sinks]]\nkind = \"otlp\"\nurl = \"http://{collector}/otlp\"\n")
}

/// Answers are kept, in so much memory.
pub(super) fn cache(mib: u32) -> String {
    format!("[cache]\nenabled = true\nmax_bytes = \"{mib}MiB\"\n")
}

/// One provider.
pub(super) fn one_target(origin: SocketAddr) -> String {
    format!(
        "{}[models.\"{MODEL}\"]\ntargets = [{{ provider = \"origin\" }}]\n\
         max_output_tokens = 4096\n",
        provider("origin", origin, "")
    )
}

/// Two providers, of which the first is asked as long as it answers. It is given up on after
/// [`FIRST_BYTE`], and left alone when half of the calls of two seconds fail.
pub(super) fn two_targets(first: SocketAddr, spare: SocketAddr) -> String {
    let limits = format!(
        "timeout = {{ first_byte = \"{}ms\" }}\n\
         breaker = {{ window = \"2s\", open_for = \"2s\" }}\n",
        FIRST_BYTE.as_millis()
    );
    format!(
        "{}{}[models.\"{MODEL}\"]\nroute = \"priority\"\nmax_output_tokens = 4096\n\
         targets = [{{ provider = \"origin\" }}, {{ provider = \"spare\" }}]\n",
        provider("origin", first, &limits),
        provider("spare", spare, "")
    )
}

/// How long the first byte of the first of two providers is awaited.
pub(super) const FIRST_BYTE: Duration = Duration::from_millis(250);

fn provider(name: &str, at: SocketAddr, more: &str) -> String {
    format!(
        "[providers.{name}]\nkind = \"openai\"\nbase_url = \"http://{at}/v1\"\n\
         api_key = \"bench\"\n{more}[prices.\"{name}/{MODEL}\"]\ninput = 0.15\noutput = 0.60\n\
         cached_input = 0.075\n"
    )
}

/// Tollgate with all that a call passes, but for its providers, its limits and the cache.
pub(super) fn tollgate(listen: SocketAddr, admin: SocketAddr, folder: &Path) -> String {
    format!(
        r#"[server]
listen = "{listen}"
admin_listen = "{admin}"
admin_key = "bench-admin-0123456789abcdef"
timezone = "Asia/Seoul"
[storage]
url = "sqlite://{path}/tollgate.db"
commit = "before_response"
durability = "process"
[auth]
default_plan = "bench"
[[auth.keys]]
name = "bench"
key = "{KEY}"
role = "service"
[duplicates]
action = "alert"
identical = 1000000000
"#,
        path = folder.display()
    )
}
