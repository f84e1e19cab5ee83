//! Every key of the schema is one that somebody reads: a documented key without effect is a lie.

use toml::de::DeTable;

use super::nothing;
use crate::config::Config;
use crate::config::reader::{Fields, Reading};
use crate::config::schema;

/// A configuration that holds every key.
const FULL: &str = r#"
preset = "monitor"

[server]
listen = "127.0.0.1:1"
admin_listen = "127.0.0.1:2"
admin_key = "k"
trusted_proxies = []
max_body = 1
max_answer = 1
body_pause = "1s"
header_read_timeout = "1s"
max_connections = 1
max_calls = 1
shed_after = "1s"
shutdown_grace = "1s"
timezone = "UTC"
on_disconnect = "abort"
drain_for = "1s"
max_output_tokens = 1
hash_addresses = true

[storage]
url = "sqlite://x"
commit = "async"
durability = "power"
in_doubt = "release"

[counters]
url = "memory:"
degraded = "deny"

[auth]
default_plan = "p"
auto_register = true
guests = "p"
[auth.captcha]
provider = "turnstile"
secret = "s"
verify_url = "https://h/v"
header = "x-captcha"
pass_for = "1s"
min_score = 0.7
[auth.jwt]
algorithm = "EdDSA"
public_key_file = "k.pem"
jwks_refresh = "1m"
user_claim = "u"
plan_claim = "p"
issuer = "i"
audience = "a"
[[auth.keys]]
name = "n"
key = "k"
role = "user"
user = "u"
team = "t"
plan = "p"
expires = 2027-01-01T00:00:00Z
models = ["m"]
providers = ["net"]
ips = ["::/0"]
on_disconnect = "drain"
cache = false
limits = [{ name = "k", metric = "requests", window = "day", max = 1 }]

[providers.net]
kind = "openai"
base_url = "http://h/v1"
api_key = "k"
price_book = "openai"
headers = { x-team = "t" }
responses = false
unmetered = "refuse"
timeout = { connect = "1s", first_byte = "1s", idle = "1s", total = "1s" }
retry = { attempts = 1, base = "1s", max = "1s" }
breaker = { error_rate = 1, window = "1s", min_calls = 1, open_for = "1s", slow_first_byte = "1s" }
[providers.azure]
kind = "azure"
base_url = "https://h"
api_version = "v"
[providers.vertex]
kind = "vertex"
base_url = "https://h"
credentials_file = "account.json"
[providers.aws]
kind = "bedrock"
region = "us-east-1"
access_key_id = "i"
secret_access_key = "s"
session_token = "t"
[providers.sim]
kind = "simulated"
latency = "0s"
error_rate = 0
chunk_interval = "0s"
chunks = 1
output_tokens = 1

[models.m]
attempts = 4
route = "priority"
targets = [{ provider = "sim", model = "m", weight = 1 }]
fallback = ["n"]
max_output_tokens = 1
cache = false
[models.n]
targets = [{ provider = "sim" }]

[prices.default]
input = 1
output = 1
[prices."sim/m"]
@PRICES@
effective_from = "2026-01-01"
effective_to = 2027-01-01

[plans.p]
timezone = "UTC"
on_disconnect = "drain"
cache = true
limits = [{ name = "l", metric = "requests", window = "day", max = 1, rollover = 0.5 }]

[limits.l]
scope = "user"
metric = "requests"
window = "day"
max = 1
on_limit = "deny"
warn_at = [0.5]
mode = "shadow"
timezone = "UTC"
feature = "f"
models = ["m"]
providers = ["sim"]

[cache]
enabled = false
ttl = "1s"
max_bytes = 1
scope = "shared"
coalesce = false

[idempotency]
enabled = false
ttl = "1s"
max_bytes = 1

[duplicates]
identical = 2
window = "1s"
action = "alert"
block_for = "1s"

[logs]
format = "pretty"
calls = false
bodies = "full"
[[logs.sinks]]
kind = "elasticsearch"
name = "n"
url = "https://h:9200"
headers = { x-team = "t" }
username = "u"
password = "p"
gzip = false
tls = { ca_file = "ca", cert_file = "c", key_file = "k" }
timeout = "1s"
queue = 1
batch = { calls = 1, size = "1KiB", age = "1s" }
retry = { base = "1s", max = "1s" }
spool = { max = "1MiB", dir = "d" }
index = "i-%Y"
install = "opensearch"
enabled = false
[[logs.sinks]]
kind = "loki"
url = "http://h:3100"
api_key = "k"
labels = { env = "e" }
[[logs.sinks]]
kind = "otlp"
url = "http://h:4318"
encoding = "json"
signals = ["traces"]
sample_rate = 0.5
conventions = "both"
resource = { a = "b" }
[[logs.sinks]]
kind = "file"
url = "file://x"
rotate = { size = "1MiB", daily = false, keep = 1 }

[sentry]
dsn = ""
environment = "e"
traces_sample_rate = 1
upstream = false

[alerts]
language = "en"
shipped = true
pause = "1m"
throttle = 6
[alerts.channels.c]
kind = "slack"
url = ""
enabled = true
language = "ko"
severity = "info"
[alerts.channels.p]
kind = "pagerduty"
url = ""
routing_key = ""
[alerts.channels.e]
kind = "email"
url = "smtp://h"
from = "a@b.c"
to = ["a@b.c"]
ca_file = "f"
[alerts.channels.w]
kind = "webhook"
url = "https://h/"
secret = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
previous_secret = ""
allow_private = false
[alerts.channels.m]
kind = "alertmanager"
url = "http://h/"
token = ""
[[alerts.rules]]
name = "r"
enabled = true
when = "cost_usd{by=user,window=1h} > 15 * baseline"
floor = 1
severity = "info"
channels = ["c"]
action = "throttle for 1h"
repeat = "1h"
language = "ko"
group = "g"
tell_end = true

[billing.stripe]
api_key = ""
webhook_secret = ""
meter = "m"
quantity = "q"

[jobs]
purge = { schedule = "* * * * *", timezone = "UTC", enabled = true, keep_calls = "1d", keep_bodies = "1d" }
daily_report = { schedule = "* * * * *", timezone = "UTC", enabled = true, channels = ["c"] }
weekly_report = { schedule = "* * * * *", channels = ["c"] }
price_refresh = { schedule = "* * * * *", timezone = "UTC", enabled = true, url = "u" }
rollup_check = { schedule = "* * * * *", timezone = "UTC", enabled = true, channels = ["c"] }
stripe_upload = { schedule = "* * * * *", timezone = "UTC", enabled = true }
statement = { schedule = "* * * * *" }
probe = { schedule = "* * * * *", timezone = "UTC", enabled = true, timeout = "1s" }

[display]
currency = "KRW"
usd_rate = 1470
"#;

#[test]
fn every_key_of_the_schema_is_read() {
    let prices: Vec<String> = schema::PRICE
        .keys
        .iter()
        .filter(|key| key.form == "decimal")
        .map(|key| match key.name {
            // The same price said in two ways would be refused.
            "requests_per_1k" => String::new(),
            name => format!("{name} = 1\n"),
        })
        .collect();
    let text = FULL.replace("@PRICES@", &prices.concat());
    let table = DeTable::parse(&text).unwrap_or_else(|e| panic!("{e}"));
    let reading = Reading::new("f", &text, &nothing);
    let root = Fields::new(&reading, &schema::ROOT, String::new(), (0, Some(table.get_ref())));
    let config = Config::read(&root, &reading);
    let mut asked = reading.asked();
    asked.insert((schema::PRICE.header, "requests_per_1k"));
    // The key of HS256 and that of the other algorithms do not go together.
    asked.extend([(schema::JWT.header, "secret"), (schema::JWT.header, "jwks_url")]);
    let (problems, _) = reading.finish();
    assert!(problems.is_empty(), "{problems:#?}");
    assert_eq!(config.jobs.others.len(), 7);
    for section in schema::ALL {
        for key in section.keys {
            assert!(asked.contains(&(section.header, key.name)), "{} {}", section.header, key.name);
        }
    }
}
