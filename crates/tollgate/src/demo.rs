//! `tollgate demo`: the whole program with nothing to configure. A simulated provider, seeded users
//! and history, and a trickle of traffic, so that there is something to see from the first second.

mod history;
mod traffic;

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;

use crate::config::{Config, ProcessEnvironment};
use crate::{out, serve};

/// Where the demo keeps its files, in the current folder; on other ports than the usual ones the
/// port is appended, so that two demos do not share files.
const FOLDER: &str = "tollgate-demo";
/// The port that needs no mention.
const USUAL_PORT: u16 = 8080;
const CONFIG: &str = include_str!("demo.toml");
const FIRST_LINE: &str = "# The configuration of `tollgate demo`.";

/// Arguments of `tollgate demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Serve on this port, and the admin plane on the next [default: 8080, or a free one]
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Make no traffic of its own
    #[arg(long)]
    quiet: bool,
}

/// Runs the demo until it is stopped.
pub(crate) fn run(args: &DemoArgs) -> anyhow::Result<()> {
    let (listen, admin) = addresses(args.port)?;
    let folder = match listen.port() {
        USUAL_PORT => PathBuf::from(FOLDER),
        port => PathBuf::from(format!("{FOLDER}-{port}")),
    };
    let path = write_files(&folder, listen, admin)?;
    let config = Config::load(&path, &ProcessEnvironment)?;
    let keep_quiet = args.quiet;
    serve::run_with(config, Some(path), move |started| {
        history::seed(started)?;
        greet(&folder, listen, admin);
        if !keep_quiet {
            traffic::start(started, listen);
        }
        Ok(())
    })
}

/// The two addresses: those asked for, else the usual ones, else free ones.
fn addresses(port: Option<u16>) -> anyhow::Result<(SocketAddr, SocketAddr)> {
    let local = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
    let is_free = |port: u16| TcpListener::bind(local(port)).is_ok();
    if let Some(port) = port {
        let next = port.checked_add(1).context("--port must be below 65535")?;
        return Ok((local(port), local(next)));
    }
    if is_free(USUAL_PORT) && is_free(USUAL_PORT + 1) {
        return Ok((local(USUAL_PORT), local(USUAL_PORT + 1)));
    }
    let one = TcpListener::bind(local(0)).context("no free port")?;
    let two = TcpListener::bind(local(0)).context("no free port")?;
    Ok((one.local_addr()?, two.local_addr()?))
}

/// Writes the configuration, so that every other verb can be tried beside the running demo. What an
/// earlier demo left is removed: each run shows the same beginning. A folder that no demo made is
/// left alone.
fn write_files(folder: &Path, listen: SocketAddr, admin: SocketAddr) -> anyhow::Result<PathBuf> {
    let path = folder.join("tollgate.toml");
    if folder.exists() {
        let made_here = fs::read_to_string(&path).is_ok_and(|text| text.starts_with(FIRST_LINE));
        if !made_here {
            bail!("`{}` is there and no demo made it; move it away", folder.display());
        }
        fs::remove_dir_all(folder)
            .with_context(|| format!("cannot empty `{}`", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
    let text = CONFIG
        .replace("127.0.0.1:8080", &listen.to_string())
        .replace("127.0.0.1:8081", &admin.to_string())
        .replace("sqlite://tollgate-demo/", &format!("sqlite://{}/", folder.display()));
    fs::write(&path, text).with_context(|| format!("cannot write `{}`", path.display()))?;
    Ok(path)
}

fn greet(folder: &Path, listen: SocketAddr, admin: SocketAddr) {
    let config = folder.join("tollgate.toml");
    let config = config.display();
    out::note(format_args!(
        "\n  Tollgate demo. The provider is simulated; nothing leaves this machine.\n\
         \n    calls     http://{listen}/v1     key tg_demo_alice\
         \n    metrics   http://{admin}/metrics\
         \n    admin     http://{admin}/admin/api/v1     key tg_demo_admin\n\
         \n  Try, in another terminal:\n\
         \n    curl http://{listen}/v1/chat/completions -H 'authorization: Bearer tg_demo_alice' \\\
         \n      -H 'content-type: application/json' \\\
         \n      -d '{{\"model\":\"gpt-4o-mini\",\"messages\":[{{\"role\":\"user\",\"content\":\"hello\"}}]}}'\
         \n    tollgate --config {config} usage --by model\
         \n    tollgate --config {config} calls --follow\n\
         \n  Stop with ctrl-c.\n"
    ));
}
