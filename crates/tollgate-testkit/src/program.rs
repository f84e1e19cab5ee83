//! Runs the whole program as a process of its own, in a folder of its own, on free ports; kills it,
//! ends it in good order, starts it again on the same files, and asks it by its command line.

mod cli;

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

pub use cli::CliOutput;

use crate::client::Http;
use crate::config::{ADMIN_KEY, Config, KEY};

/// How long a start may take, with what a crash left behind to be taken up.
const START: Duration = Duration::from_secs(30);

/// A program under test. Dropping it kills the process and removes its files.
#[derive(Debug)]
pub struct Program {
    binary: PathBuf,
    folder: TempDir,
    config: Config,
    data: SocketAddr,
    admin: SocketAddr,
    child: Option<Child>,
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill9();
        if std::thread::panicking() {
            // Shown by the test runner with the failure.
            println!("--- log of the program ---\n{}", tail(&self.log(), 6_000));
        }
    }
}

impl Program {
    /// Starts `binary serve` on `config` and waits until it is ready; panics with its output where
    /// it does not come up.
    pub async fn start(binary: &Path, config: Config) -> Self {
        let mut last = String::new();
        // A port that was free may be taken before the program binds it.
        for _attempt in 0..3 {
            let mut program = Self::prepare(binary, config.clone());
            match program.launch().await {
                Ok(()) => return program,
                Err(why) if why.contains("in use") => last = why,
                Err(why) => panic!("the program did not start: {why}"),
            }
        }
        panic!("no free port was found: {last}")
    }

    /// Writes the configuration and starts nothing.
    pub fn prepare(binary: &Path, config: Config) -> Self {
        let folder = tempfile::Builder::new().prefix("tollgate-test-").tempdir().unwrap();
        let mut program = Self {
            binary: binary.to_owned(),
            folder,
            config: config.clone(),
            data: free_port(),
            admin: free_port(),
            child: None,
        };
        program.write_config(config);
        program
    }

    /// Replaces the configuration file; a running program learns of it by [`Program::reload`].
    pub fn write_config(&mut self, config: Config) {
        let text = config.text(self.data, self.admin, self.folder.path());
        std::fs::write(self.config_path(), text).unwrap();
        self.config = config;
    }

    /// Where the configuration file is.
    pub fn config_path(&self) -> PathBuf {
        self.folder.path().join("tollgate.toml")
    }

    /// The folder with configuration, data and log.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts the process; an error is what it said where it ended or did not become ready.
    pub async fn launch(&mut self) -> Result<(), String> {
        let log = File::options().create(true).append(true).open(self.log_path()).unwrap();
        let child = Command::new(&self.binary)
            .args(["serve", "--config"])
            .arg(self.config_path())
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .map_err(|error| format!("{}: {error}", self.binary.display()))?;
        self.child = Some(child);
        let deadline = Instant::now() + START;
        loop {
            if ready(self.data).await {
                return Ok(());
            }
            if let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().unwrap()) {
                self.child = None;
                return Err(format!("ended with {status}: {}", tail(&self.log(), 4_000)));
            }
            if Instant::now() >= deadline {
                return Err(format!("not ready: {}", tail(&self.log(), 4_000)));
            }
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    }

    /// Starts again on the same files and ports.
    pub async fn restart(&mut self) {
        self.kill9();
        if let Err(why) = self.launch().await {
            panic!("the program did not start again: {why}");
        }
    }

    /// Kills the process at once (`SIGKILL`) and waits until it is gone.
    pub fn kill9(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            let _killed = child.kill();
            let _status = child.wait();
        }
    }

    /// Asks the process to end in good order (`SIGTERM`).
    pub fn sigterm(&self) {
        self.signal("-TERM");
    }

    /// Asks the process to read its configuration again (`SIGHUP`).
    pub fn reload(&self) {
        self.signal("-HUP");
    }

    fn signal(&self, which: &str) {
        let pid = self.pid().expect("the program is not running").to_string();
        assert!(Command::new("kill").args([which, &pid]).status().unwrap().success());
    }

    /// Process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Whether the process runs.
    pub fn alive(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    /// Waits until the process has ended by itself; `None` where it has not within.
    pub async fn exited(&mut self, within: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + within;
        while Instant::now() < deadline {
            if let Some(status) = self.child.as_mut()?.try_wait().unwrap() {
                self.child = None;
                return Some(status);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        None
    }

    /// Base URL of the data plane.
    pub fn base(&self) -> String {
        format!("http://{}", self.data)
    }

    /// Address of the data plane, for bare connections.
    pub fn address(&self) -> String {
        self.data.to_string()
    }

    /// Base URL of the admin plane.
    pub fn admin_base(&self) -> String {
        format!("http://{}", self.admin)
    }

    /// A client of the data plane with the key of every test configuration.
    pub fn client(&self) -> Http {
        Http::new(&self.base(), KEY)
    }

    /// A client of the admin plane with the admin credential.
    pub fn admin(&self) -> Http {
        Http::new(&self.admin_base(), ADMIN_KEY)
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("program.log")
    }

    /// What the process has printed, on either stream, over all its starts.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.log_path()).unwrap_or_default()).into_owned()
    }
}

/// One `GET /readyz`, answered with 200.
async fn ready(address: SocketAddr) -> bool {
    let ask = async {
        let mut socket = TcpStream::connect(address).await.ok()?;
        let request =
            format!("GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await.ok()?;
        Some(answer.starts_with(b"HTTP/1.1 200"))
    };
    tokio::time::timeout(Duration::from_secs(2), ask).await.ok().flatten().unwrap_or_default()
}

fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn tail(text: &str, most: usize) -> &str {
    let mut from = text.len().saturating_sub(most);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    text.get(from..).unwrap_or_default()
}
