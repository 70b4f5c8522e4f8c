//! A Prometheus of a test's own, that scrapes the real workers and evaluates the real rules.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::http;
use crate::pids::{self, Signal};
use crate::ports::free_port;
use crate::wait::{eventually, eventually_blocking};

/// Whether Prometheus (Debian's package `prometheus`) is installed here.
#[must_use]
pub fn is_installed() -> bool {
    let asked =
        |program| Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    ["prometheus", "promtool"].into_iter().all(|program| asked(program).is_ok_and(|status| status.success()))
}

/// A server on a free loopback port, its data in a test's folder. Ended when it is dropped.
#[derive(Debug)]
pub struct Prometheus {
    child: Child,
    address: String,
}

impl Prometheus {
    /// Starts one that scrapes `targets` (job, address) every second and evaluates `rules` as often.
    ///
    /// # Panics
    /// It cannot be started.
    pub async fn start(folder: &Path, targets: &[(&str, &str)], rules: &[PathBuf]) -> Self {
        let address = format!("127.0.0.1:{}", free_port());
        let mut config = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: [{}]\nscrape_configs:\n",
            rules.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ")
        );
        for (job, target) in targets {
            config.push_str(&format!(
                "  - {{ job_name: {job}, static_configs: [{{ targets: ['{target}'] }}] }}\n"
            ));
        }
        let file = folder.join("prometheus.yml");
        std::fs::write(&file, config).expect("its configuration");
        let log = std::fs::File::create(folder.join("prometheus.log")).expect("its log");
        let mut command = Command::new("prometheus");
        pids::bare_environment(&mut command, folder);
        let child = command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("prometheus").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("prometheus");
        let started = Self { child, address };
        eventually(Duration::from_secs(60), "Prometheus to be ready", async || {
            let answer = http::get(&started.address, "/-/ready").await?;
            if answer.status == 200 { Ok(()) } else { Err(answer.body) }
        })
        .await;
        started
    }

    /// An answer of its API, without the envelope.
    ///
    /// # Errors
    /// It does not answer, or not with success.
    pub async fn api(&self, path: &str) -> Result<Value, String> {
        let answer = http::get(&self.address, &format!("/api/v1/{path}")).await?;
        let body: Value = serde_json::from_str(&answer.body).map_err(|error| error.to_string())?;
        if body["status"] == "success" { Ok(body["data"].clone()) } else { Err(answer.body) }
    }

    /// The samples of an expression, now.
    ///
    /// # Errors
    /// As [`Prometheus::api`].
    pub async fn query(&self, expression: &str) -> Result<Vec<Value>, String> {
        let encoded: String = expression.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let data = self.api(&format!("query?query={encoded}")).await?;
        Ok(data["result"].as_array().cloned().unwrap_or_default())
    }

    /// The value of an expression that has one.
    ///
    /// # Errors
    /// It has none, or more than one.
    pub async fn number(&self, expression: &str) -> Result<f64, String> {
        let samples = self.query(expression).await?;
        match samples.as_slice() {
            [one] => one["value"][1]
                .as_str()
                .and_then(|text| text.parse().ok())
                .ok_or_else(|| format!("{expression}: {one}")),
            other => Err(format!("{expression} has {} values", other.len())),
        }
    }

    /// The names of all metrics that it knows.
    ///
    /// # Errors
    /// As [`Prometheus::api`].
    pub async fn names(&self) -> Result<Vec<String>, String> {
        let names = self.api("label/__name__/values").await?;
        serde_json::from_value(names).map_err(|error| error.to_string())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        pids::send(Signal::Term, &[self.child.id()]);
        let ended =
            eventually_blocking(Duration::from_secs(10), || !matches!(self.child.try_wait(), Ok(None)));
        if !ended {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}
