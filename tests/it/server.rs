//! A real `yellowline serve` on a free port, killed when dropped.

use std::{
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

/// Generous: a loaded two-core machine in the dev profile.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// A running server and a client for it.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) url: String,
    pub(crate) http: reqwest::Client,
}

/// The binary under test, with nothing of the caller's settings: the one just built, or the one that `YELLOWLINE_BINARY` names, such
/// as a release build for a long run.
pub(crate) fn yellowline() -> Command {
    let named = std::env::var_os("YELLOWLINE_BINARY");
    let mut command = Command::new(named.unwrap_or_else(|| env!("CARGO_BIN_EXE_yellowline").into()));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("YELLOWLINE_")) {
        command.env_remove(name);
    }
    command
}

impl Server {
    /// Starts on a data folder and waits until it listens.
    pub(crate) fn start(data: &Path) -> Self {
        Self::start_with(data, &["--listen", "127.0.0.1:0"], &[])
    }

    /// Starts with flags and environment of the test's own.
    pub(crate) fn start_with(data: &Path, flags: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut child = yellowline()
            .arg("serve")
            .arg("--data")
            .arg(data)
            .args(flags)
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address =
            lines.by_ref().map(Result::unwrap).find_map(|line| line.strip_prefix("listening on ").map(str::to_owned));
        let url = address.expect("the server ended before it listened");
        // Whatever it prints later must not fill the pipe and stop it.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, url: url.replace("0.0.0.0", "127.0.0.1"), http: client() }
    }

    /// kill -9.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and waits for a clean end.
    pub(crate) fn stop(mut self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
    }

    pub(crate) fn path(&self, path: &str) -> String {
        format!("{}/api/v1{path}", self.url)
    }

    /// Status and JSON body of a POST.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        answer(self.http.post(self.path(path)).json(body)).await
    }

    /// Status and JSON body of a GET.
    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        answer(self.http.get(self.path(path))).await
    }

    /// The rows of a statement that must succeed.
    pub(crate) async fn rows(&self, sql: &str) -> Vec<Value> {
        let (status, answer) = self.post("/sql", &json!({"sql": sql, "dataset": "shop"})).await;
        assert_eq!(status, 200, "{sql}: {answer}");
        answer["rows"].as_array().unwrap().clone()
    }

    /// The first cell of the first row.
    pub(crate) async fn value(&self, sql: &str) -> Value {
        self.rows(sql).await[0][0].clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already dead after `kill` and `stop`: both errors are expected then.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub(crate) fn client() -> reqwest::Client {
    alerter::notify::transport::http_client(DEADLINE).unwrap()
}

/// Status and JSON body; a body that is no JSON comes back as text.
pub(crate) async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// Runs the binary to its end: exit code, standard output, standard error.
pub(crate) fn run(command: &mut Command) -> (i32, String, String) {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

/// Runs a command that should end by itself, and kills it when it does not.
pub(crate) fn run_within_deadline(command: &mut Command) -> (i32, String) {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let started = Instant::now();
    let code = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status.code().unwrap_or(-1),
            None if started.elapsed() > DEADLINE => {
                child.kill().unwrap();
                panic!("still running after {DEADLINE:?}");
            }
            None => std::thread::yield_now(),
        }
    };
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    (code, stderr)
}

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
