//! Builds the configuration of a program under test.
//!
//! The base is as quiet as can be: one attempt upstream, no cache, no storm protection, a plan
//! without limits. A test adds what it is about, so that nothing else can explain its result.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

/// The key that every test configuration knows (role `service`, so it may name users).
pub const KEY: &str = "tg_backend_for_tests_0123456789abcdef";
/// The admin credential of every test configuration.
pub const ADMIN_KEY: &str = "admin-for-tests-0123456789abcdef";

/// A configuration in the making.
#[derive(Clone, Debug)]
pub struct Config {
    server: String,
    grace: String,
    storage: String,
    auth: String,
    cache: String,
    duplicates: String,
    sections: String,
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}

impl Config {
    /// The quiet base: the key [`KEY`] on the plan `open`, which has no limits.
    pub fn new() -> Self {
        Self {
            server: "timezone = \"UTC\"\n".to_owned(),
            grace: "10s".to_owned(),
            storage: String::new(),
            auth: "default_plan = \"open\"\n".to_owned(),
            cache: "enabled = false".to_owned(),
            duplicates: "action = \"alert\"".to_owned(),
            sections: "[plans.open]\nlimits = []\n".to_owned(),
        }
        .key("backend", KEY, "service")
    }

    /// Adds a line to `[server]`.
    #[must_use]
    pub fn server(mut self, line: &str) -> Self {
        self.server.push_str(line);
        self.server.push('\n');
        self
    }

    /// Sets how long calls in flight may take to finish when the program is asked to end.
    #[must_use]
    pub fn grace(mut self, time: &str) -> Self {
        time.clone_into(&mut self.grace);
        self
    }

    /// Adds a line to `[storage]`.
    #[must_use]
    pub fn storage(mut self, line: &str) -> Self {
        self.storage.push_str(line);
        self.storage.push('\n');
        self
    }

    /// Sets the lines of `[cache]`.
    #[must_use]
    pub fn cache(mut self, lines: &str) -> Self {
        lines.clone_into(&mut self.cache);
        self
    }

    /// Sets the lines of `[duplicates]`.
    #[must_use]
    pub fn duplicates(mut self, lines: &str) -> Self {
        lines.clone_into(&mut self.duplicates);
        self
    }

    /// Adds TOML as it stands: whole sections.
    #[must_use]
    pub fn section(mut self, toml: &str) -> Self {
        self.sections.push_str(toml);
        self.sections.push('\n');
        self
    }

    /// Adds a key. `role` is `user`, `service` or `admin`.
    #[must_use]
    pub fn key(self, name: &str, key: &str, role: &str) -> Self {
        self.section(&format!(
            "[[auth.keys]]\nname = \"{name}\"\nkey = \"{key}\"\nrole = \"{role}\""
        ))
    }

    /// Adds a provider that is tried once, whose breaker does not open.
    #[must_use]
    pub fn provider(self, name: &str, kind: &str, base_url: &str) -> Self {
        self.provider_with(
            name,
            kind,
            base_url,
            "timeout = { connect = \"3s\", first_byte = \"20s\", idle = \"20s\", total = \"60s\" }",
        )
    }

    /// The same with lines of its own (`timeout`, `retry`, `breaker` where the base does not suit).
    #[must_use]
    pub fn provider_with(self, name: &str, kind: &str, base_url: &str, lines: &str) -> Self {
        let mut section = format!(
            "[providers.{name}]\nkind = \"{kind}\"\nbase_url = \"{base_url}\"\n\
             api_key = \"upstream-secret\"\n{lines}\n"
        );
        if !lines.contains("retry") {
            section.push_str("retry = { attempts = 1, base = \"1s\", max = \"1s\" }\n");
        }
        if !lines.contains("breaker") {
            section.push_str(
                "breaker = { error_rate = 1.0, window = \"30s\", min_calls = 1000000, \
                 open_for = \"1s\", slow_first_byte = \"60s\" }\n",
            );
        }
        self.section(&section)
    }

    /// Adds a public model served by `model` of `provider`, priced in USD per million tokens.
    #[must_use]
    pub fn model(self, public: &str, provider: &str, model: &str) -> Self {
        self.section(&format!(
            "[models.\"{public}\"]\n\
             targets = [{{ provider = \"{provider}\", model = \"{model}\" }}]\n\
             max_output_tokens = 100000"
        ))
    }

    /// Adds a price in USD per million units, such as `("input", "2.50")`.
    #[must_use]
    pub fn price(self, provider: &str, model: &str, rates: &[(&str, &str)]) -> Self {
        let mut section = format!("[prices.\"{provider}/{model}\"]\n");
        for (name, rate) in rates {
            writeln!(section, "{name} = {rate}").unwrap();
        }
        self.section(&section)
    }

    /// Adds a plan; each limit is an inline table as a configuration writes it.
    #[must_use]
    pub fn plan(self, name: &str, limits: &[&str]) -> Self {
        self.section(&format!("[plans.{name}]\nlimits = [\n  {}\n]", limits.join(",\n  ")))
    }

    /// Adds a line to `[auth]`.
    #[must_use]
    pub fn auth(mut self, line: &str) -> Self {
        self.auth.push_str(line);
        self.auth.push('\n');
        self
    }

    /// Puts callers that are not told otherwise on this plan. Comes before [`Config::auth`].
    #[must_use]
    pub fn default_plan(mut self, name: &str) -> Self {
        self.auth = format!("default_plan = \"{name}\"\n");
        self
    }

    /// The text of the file, for a program that listens on these addresses and keeps its data in
    /// `folder`.
    pub fn text(&self, data: SocketAddr, admin: SocketAddr, folder: &Path) -> String {
        let Self { server, grace, storage, auth, cache, duplicates, sections } = self;
        format!(
            "[server]\nlisten = \"{data}\"\nadmin_listen = \"{admin}\"\n\
             admin_key = \"{ADMIN_KEY}\"\nshutdown_grace = \"{grace}\"\n{server}\n\
             [storage]\nurl = \"sqlite://{}/tollgate.db\"\n{storage}\n\
             [auth]\n{auth}\n[cache]\n{cache}\n[duplicates]\n{duplicates}\n{sections}",
            folder.display()
        )
    }
}
