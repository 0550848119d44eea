//! The command line as typed. `config` turns it into effective settings.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Observability event pipeline with release-aware anomaly alerting.
#[derive(Debug, Parser)]
#[command(
    version,
    about,
    after_help = "Start here:  yellowline demo\nDocumentation: README.md and docs/ of the repository."
)]
pub(crate) struct Cli {
    /// Write the log as JSON lines (to standard error; level by YELLOWLINE_LOG, such as `info` or `store=debug`).
    #[arg(long, global = true)]
    pub(crate) log_json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server: ingest, SQL, alerter and console in one process.
    Serve(ServeOptions),
    /// Watch it work: the server beside a booking site, with an incident to find.
    Demo(crate::demo::Options),
    /// Ask a running server one SQL question and print the answer.
    Sql(SqlOptions),
    /// Load history into a running server: raw events, or the past of a metric.
    Import(ImportOptions),
    /// Check every byte of a data folder or backup that no server has open; exit code 3 when there are problems.
    Verify(VerifyOptions),
    /// Copy a data folder at one instant, while its server runs or when it is stopped.
    Backup(BackupOptions),
    /// Make a new data folder from a backup.
    Restore(RestoreOptions),
    /// Delete events from every file of a running server's data folder, and wait until they are nowhere (privacy deletion).
    Delete(DeleteOptions),
    /// Replay a metric, or a plain rule, on its own history: the pages it would have sent, before you save it.
    Backtest(BacktestOptions),
    /// Show an incident of a running server, or save it as a case.
    Incident(IncidentOptions),
    /// Create, list and revoke API keys of a data folder.
    Keys(KeysOptions),
    /// Check the configuration and the metric files, and report every problem at once.
    CheckConfig(ConfigOptions),
    /// Print the effective configuration as TOML.
    PrintConfig(ConfigOptions),
}

/// Where the settings come from: file, then environment (YELLOWLINE_STORE__…), then these flags.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ConfigOptions {
    /// Data folder; made if it is not there.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<SocketAddr>,
    /// Configuration file (TOML); see yellowline.toml in the repository.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ServeOptions {
    #[command(flatten)]
    pub(crate) config: ConfigOptions,
    /// Answer queries and write nothing: events and changes get 503, nobody is paged. Also shows a backup.
    #[arg(long)]
    pub(crate) read_only: bool,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyOptions {
    #[command(flatten)]
    pub(crate) config: ConfigOptions,
    /// Mend what can be mended; what is taken out goes to `quarantine/` in the data folder, nothing is deleted.
    #[arg(long)]
    pub(crate) repair: bool,
    /// Print the report as one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BackupOptions {
    /// Folder to write, absent or empty; on the server's machine.
    pub(crate) target: PathBuf,
    /// Data folder of a stopped server; without it the running server makes the backup.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["server", "key"])]
    pub(crate) data: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) server: ServerOptions,
}

#[derive(Debug, Args)]
pub(crate) struct RestoreOptions {
    /// The backup.
    pub(crate) source: PathBuf,
    #[command(flatten)]
    pub(crate) config: ConfigOptions,
}

/// How to reach a running server.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServerOptions {
    /// Address of the server.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:7300", env = "YELLOWLINE_URL")]
    pub(crate) server: String,
    /// API key, if the server asks for one.
    #[arg(long, value_name = "KEY", env = "YELLOWLINE_KEY", hide_env_values = true)]
    pub(crate) key: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct SqlOptions {
    /// The statement; `-` reads it from standard input.
    pub(crate) sql: String,
    /// Dataset in which unqualified names such as `events` are looked up.
    #[arg(long, short)]
    pub(crate) dataset: Option<String>,
    /// How to print the answer.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) server: ServerOptions,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Aligned columns.
    Table,
    /// One JSON object.
    Json,
    /// One JSON object per row.
    Ndjson,
    /// Comma-separated, with a header line.
    Csv,
}

#[derive(Debug, Args)]
pub(crate) struct ImportOptions {
    #[command(subcommand)]
    pub(crate) what: ImportWhat,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ImportWhat {
    /// Raw events: NDJSON, CSV with a header, or Parquet; .gz and .zst are unpacked.
    Events {
        /// Dataset the events go to.
        #[arg(long, short)]
        dataset: String,
        /// Files, read in this order.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        #[command(flatten)]
        server: ServerOptions,
    },
    /// The past of a defined metric: CSV or Parquet with columns `time,count[,denominator]`; coarser steps than a minute are spread.
    Metric {
        /// Name of the metric.
        #[arg(long, short)]
        name: String,
        /// Files, read in this order.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        #[command(flatten)]
        server: ServerOptions,
    },
}

#[derive(Debug, Args)]
pub(crate) struct DeleteOptions {
    /// Dataset the events are in.
    #[arg(long, short)]
    pub(crate) dataset: String,
    /// Which events: a condition in SQL, such as "user.id = 'u-17'". Count them first with `yellowline sql`.
    #[arg(long = "where", value_name = "PREDICATE")]
    pub(crate) predicate: String,
    /// Why, for the record, which is kept: without the value itself.
    #[arg(long, default_value = "")]
    pub(crate) reason: String,
    /// Who asks for it, for the record.
    #[arg(long, default_value = "")]
    pub(crate) actor: String,
    /// Return once the request is durable.
    #[arg(long)]
    pub(crate) no_wait: bool,
    #[command(flatten)]
    pub(crate) server: ServerOptions,
}

#[derive(Debug, Args)]
pub(crate) struct BacktestOptions {
    /// Name of the metric, or of the rule with --rule.
    pub(crate) name: String,
    /// Replay a plain rule.
    #[arg(long, conflicts_with_all = ["direction", "smallest_drop"])]
    pub(crate) rule: bool,
    /// A definition file to try instead of the one in force; it need not be saved on the server.
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Days to replay, up to now.
    #[arg(long, default_value_t = 28)]
    pub(crate) days: u32,
    /// Which way pages, instead of what the definition says: down, up or both.
    #[arg(long)]
    pub(crate) direction: Option<String>,
    /// Smallest deviation that pages, as a share, instead of what the definition says.
    #[arg(long, value_name = "SHARE")]
    pub(crate) smallest_drop: Option<f64>,
    /// Print the server's answer as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) server: ServerOptions,
}

#[derive(Debug, Args)]
pub(crate) struct IncidentOptions {
    #[command(subcommand)]
    pub(crate) action: IncidentAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum IncidentAction {
    /// Print what is known of an incident: the sentence, the suspects with their evidence, the timeline, what to do.
    Show {
        /// Id of the incident, as a page names it.
        id: String,
        #[command(flatten)]
        server: ServerOptions,
    },
    /// Write the case: timeline, picture, evidence, decisions, links.
    Export {
        /// Id of the incident, as a page names it.
        id: String,
        /// How to write it.
        #[arg(long, value_enum, default_value_t = CaseFormat::Md)]
        format: CaseFormat,
        /// File to write, with the picture beside it (same name, `.png`); standard output when absent.
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
        #[command(flatten)]
        server: ServerOptions,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CaseFormat {
    /// Markdown.
    Md,
    /// One JSON object.
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct KeysOptions {
    #[command(subcommand)]
    pub(crate) action: KeysAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysAction {
    /// Make a key and print it, this once.
    Create {
        /// What the key is for, such as `ci` or `web-frontend`.
        #[arg(long)]
        name: String,
        /// What it may do; may be given several times.
        #[arg(long = "scope", value_enum, required = true)]
        scopes: Vec<crate::keys::Scope>,
        #[command(flatten)]
        config: ConfigOptions,
    },
    /// List keys: id, name, scopes, when made. Never the key itself.
    List {
        #[command(flatten)]
        config: ConfigOptions,
    },
    /// Revoke a key by its id; a running server notices within a second.
    Revoke {
        /// Id as `list` prints it.
        id: String,
        #[command(flatten)]
        config: ConfigOptions,
    },
}
