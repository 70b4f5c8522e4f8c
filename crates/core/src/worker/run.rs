//! The `main` of every worker program: configuration, logging and metrics first, then the runtime.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Arg, ArgAction, Command, value_parser};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::instance::Kind;
use super::shutdown::Signals;
use super::{failpoint, health_check, logging, metrics};
use crate::config::Config;
use crate::trace;

const WRONG_USAGE: u8 = 2;

struct Options {
    config: Option<PathBuf>,
    once: bool,
    health_check: bool,
}

/// Runs a worker that knows no `--once`. See [`main_with_once`].
pub fn main<Run, Running, E>(kind: Kind, run: Run) -> ExitCode
where
    Run: FnOnce(Arc<Config>, CancellationToken) -> Running,
    Running: Future<Output = Result<(), E>>,
    E: std::fmt::Display,
{
    program(command(kind), kind, run, |_, _| std::future::ready(Ok::<(), E>(())))
}

/// Runs a worker until SIGTERM or SIGINT, or one pass of it with `--once`, whose result goes to standard
/// output as JSON. Exit codes: 0 stopped cleanly, 1 failed, 2 wrong usage or configuration.
///
/// With `--health-check` it only asks the worker that runs beside it with the same configuration whether it is
/// ready (0) or not (1): the health check of a container, which has no other program.
///
/// `run` gets a token that is cancelled when the worker shall stop; it then has 8 s, the process 9.5 s.
pub fn main_with_once<Run, Running, Once, Pass, Report, E>(kind: Kind, run: Run, once: Once) -> ExitCode
where
    Run: FnOnce(Arc<Config>, CancellationToken) -> Running,
    Running: Future<Output = Result<(), E>>,
    Once: FnOnce(Arc<Config>, CancellationToken) -> Pass,
    Pass: Future<Output = Result<Report, E>>,
    Report: Serialize,
    E: std::fmt::Display,
{
    let once_flag = Arg::new("once").long("once").action(ArgAction::SetTrue);
    program(
        command(kind).arg(once_flag.help("Do one pass, print what it did as JSON, and exit")),
        kind,
        run,
        once,
    )
}

fn command(kind: Kind) -> Command {
    let file = Arg::new("config").long("config").value_name("FILE").value_parser(value_parser!(PathBuf));
    let health_check = Arg::new("health-check").long("health-check").action(ArgAction::SetTrue);
    Command::new(kind.name())
        .version(crate::VERSION)
        .about(kind.about())
        .arg(file.help("Configuration file [default: tenant-sync.toml, if it exists]"))
        .arg(
            health_check
                .help("Ask the worker at health.listen whether it is ready, and exit: 0 if it is, else 1"),
        )
}

fn program<Run, Running, Once, Pass, Report, E>(
    command: Command,
    kind: Kind,
    run: Run,
    once: Once,
) -> ExitCode
where
    Run: FnOnce(Arc<Config>, CancellationToken) -> Running,
    Running: Future<Output = Result<(), E>>,
    Once: FnOnce(Arc<Config>, CancellationToken) -> Pass,
    Pass: Future<Output = Result<Report, E>>,
    Report: Serialize,
    E: std::fmt::Display,
{
    let options = match parse(command) {
        Ok(options) => options,
        Err(code) => return code,
    };
    if options.health_check {
        return check_health(kind, options.config.as_deref());
    }
    let (config, runtime) = match prepare(kind, &options) {
        Ok(prepared) => prepared,
        Err((code, reason)) => {
            eprintln!("{kind}: {reason}");
            return ExitCode::from(code);
        }
    };
    let code = runtime.block_on(async {
        let shutdown = CancellationToken::new();
        let working = async {
            if options.once {
                print(once(config, shutdown.clone()).await)
            } else {
                run(config, shutdown.clone()).await.map_err(|e| format!("{e:#}"))
            }
        };
        supervise(working, &shutdown).await
    });
    trace::shutdown();
    runtime.shutdown_timeout(Duration::from_millis(100));
    code
}

fn parse(command: Command) -> Result<Options, ExitCode> {
    let matches = command.try_get_matches().map_err(|error| {
        let _ = error.print();
        ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(WRONG_USAGE))
    })?;
    let once = matches.try_get_one::<bool>("once").ok().flatten().copied().unwrap_or(false);
    let health_check = matches.get_flag("health-check");
    Ok(Options { config: matches.get_one::<PathBuf>("config").cloned(), once, health_check })
}

/// Neither logs nor starts anything.
fn check_health(kind: Kind, file: Option<&Path>) -> ExitCode {
    let checked = Config::load(file)
        .map_err(|error| (WRONG_USAGE, error.to_string()))
        .and_then(|config| health_check::ask(config.health.listen).map_err(|reason| (1, reason)));
    match checked {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, reason)) => {
            eprintln!("{kind}: {reason}");
            ExitCode::from(code)
        }
    }
}

/// All that can go wrong before anything starts.
fn prepare(kind: Kind, options: &Options) -> Result<(Arc<Config>, tokio::runtime::Runtime), (u8, String)> {
    let config = Config::load(options.config.as_deref()).map_err(|e| (WRONG_USAGE, e.to_string()))?;
    logging::init(&config.log).map_err(|e| (WRONG_USAGE, e.to_string()))?;
    failpoint::init_from_env().map_err(|e| (WRONG_USAGE, e.to_string()))?;
    metrics::install().map_err(|e| (1, e.to_string()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name(kind.name()).build();
    let runtime = runtime.map_err(|e| (1, e.to_string()))?;
    trace::init(&config, kind.name(), runtime.handle()).map_err(|e| (WRONG_USAGE, e.to_string()))?;
    Ok((Arc::new(config), runtime))
}

fn print<T: Serialize, E: std::fmt::Display>(pass: Result<T, E>) -> Result<(), String> {
    let report = pass.map_err(|e| format!("{e:#}"))?;
    let text = serde_json::to_string(&report).map_err(|e| e.to_string())?;
    writeln!(std::io::stdout().lock(), "{text}").map_err(|e| e.to_string())
}

async fn supervise(
    working: impl Future<Output = Result<(), String>>,
    shutdown: &CancellationToken,
) -> ExitCode {
    let signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => {
            tracing::error!(%error, "cannot listen for signals");
            return ExitCode::FAILURE;
        }
    };
    tokio::select! {
        ended = working => match ended {
            Ok(()) => ExitCode::SUCCESS,
            Err(reason) => {
                tracing::error!(reason, "ended");
                ExitCode::FAILURE
            }
        },
        why = signals.drive(shutdown.clone()) => {
            tracing::error!(why, "abandoned what still ran");
            ExitCode::FAILURE
        }
    }
}
