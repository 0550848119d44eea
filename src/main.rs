//! `yellowline`: one binary that takes events, answers SQL, watches rates and serves the console.

mod backtest;
mod backup;
mod cli;
mod client;
mod config;
mod deletions;
mod demo;
mod guard;
mod import;
mod incident;
mod keys;
mod listen;
mod serve;
mod status;
mod telemetry;
mod verify;

use std::process::ExitCode;

use clap::Parser;
use cli::{Cli, Command};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    telemetry::init(cli.log_json);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return fail(&anyhow::Error::new(error).context("could not start the runtime"));
        }
    };
    match runtime.block_on(run(cli.command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Serve(options) => serve::run(options.config()?).await,
        Command::Demo(options) => demo::run(options).await,
        Command::Sql(options) => client::sql(&options).await,
        Command::Import(options) => import::run(&options).await,
        Command::Verify(options) => verify::run(options).await,
        Command::Backup(options) => backup::run(&options).await,
        Command::Restore(options) => backup::restore(options).await,
        Command::Delete(options) => deletions::run(&options).await,
        Command::Backtest(options) => backtest::run(&options).await,
        Command::Incident(options) => incident::run(&options).await,
        Command::Keys(options) => keys::run(&options, &serve::WallClock::new()),
        Command::CheckConfig(options) => config::check(&options),
        Command::PrintConfig(options) => config::print(&options.config()?),
    }
}

/// Exit codes: 0 done · 1 failed · 2 the command line or the configuration is wrong · 3 `verify` found problems that are left.
fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("yellowline: {error:#}");
    ExitCode::from(match error {
        error if error.is::<config::Invalid>() => 2,
        error if error.is::<verify::ProblemsLeft>() => 3,
        _ => 1,
    })
}
