//! Builds `dashboards/web` once per state of its sources into `<target>/console/<hash of sources>`, shared by all
//! profiles, and writes the table of its files (`files.rs` in `OUT_DIR`) that `src/assets.rs` embeds.
//!
//! A folder of that name exists only if a build finished: builds happen in a scratch folder that is renamed at the end.
//! Clippy, rust-analyzer and `YELLOWLINE_CONSOLE=skip` get a one-page placeholder in `OUT_DIR` instead, which is never
//! put where builds are. `YELLOWLINE_CONSOLE_DIST` names a ready build and needs no node.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a build script talks to cargo through the environment and stdout"
)]

use std::{
    env, fs,
    fs::File,
    io,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Output},
};

use sha2::{Digest, Sha256};

/// What the page is made of, relative to `web`. Changing one of these, and nothing else, makes a new build.
const SOURCES: [&str; 8] =
    ["src", "public", "index.html", "package.json", "package-lock.json", ".npmrc", "vite.config.ts", "tsconfig.json"];
/// Earlier builds kept beside the newest, so that switching branches does not build again.
const BUILDS_KEPT: usize = 6;
/// Lines of a failed tool's output that are shown.
const OUTPUT_LINES_MAX: usize = 60;
/// Oldest node the web tools run on (their `engines` field); 21 and early 22 lack what 20.19 has.
const NODE_NEEDED: &str = "20.19 or later in the 20 line, or 22.12 or later";

const PLACEHOLDER: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"yellowline-build\" content=\"placeholder\">\
<title>Yellowline</title><p>This binary was compiled without the console (clippy, rust-analyzer or YELLOWLINE_CONSOLE=skip).\n";

fn main() -> ExitCode {
    for name in ["YELLOWLINE_CONSOLE", "YELLOWLINE_CONSOLE_DIST", "RUSTC_WORKSPACE_WRAPPER", "RUSTC_WRAPPER"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    println!("cargo::rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_CONSOLE").is_none() {
        return ExitCode::SUCCESS;
    }
    match console_folder().and_then(|folder| write_table(&folder).map(|()| folder)) {
        Ok(folder) => {
            // Somebody emptied the folder: build again.
            println!("cargo::rerun-if-changed={}", folder.join("index.html").display());
            ExitCode::SUCCESS
        }
        Err(problem) => {
            for line in problem.lines() {
                println!("cargo::error={line}");
            }
            if env::var_os("YELLOWLINE_CONSOLE_DIST").is_none() {
                println!(
                    "cargo::error=without node: set YELLOWLINE_CONSOLE_DIST to a folder with a build of dashboards/web,"
                );
                println!("cargo::error=or leave the console out with --no-default-features");
            }
            ExitCode::FAILURE
        }
    }
}

fn out_dir() -> Result<PathBuf, String> {
    env::var_os("OUT_DIR").map(PathBuf::from).ok_or_else(|| "OUT_DIR is not set: run by cargo only".to_owned())
}

/// Writes the files of a build as a Rust slice, sorted by path: each with its bytes and the hash its ETag carries.
fn write_table(folder: &Path) -> Result<(), String> {
    let failed = |error: io::Error| format!("could not list the console's files in {}: {error}", folder.display());
    let mut paths = Vec::new();
    collect(folder, &mut paths).map_err(failed)?;
    paths.sort();
    let mut table = String::from("&[\n");
    for path in paths {
        let content = fs::read(&path).map_err(failed)?;
        let hash: String = Sha256::digest(&content).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        let name = path.strip_prefix(folder).unwrap_or(&path).to_string_lossy().replace('\\', "/");
        table += &format!("    File {{ path: {name:?}, hash: {hash:?}, bytes: include_bytes!({path:?}) }},\n");
    }
    table += "]\n";
    let file = out_dir()?.join("files.rs");
    fs::write(&file, table).map_err(|error| format!("could not write {}: {error}", file.display()))
}

fn console_folder() -> Result<PathBuf, String> {
    let out = out_dir()?;
    if let Some(dist) = env::var_os("YELLOWLINE_CONSOLE_DIST") {
        return ready_build(Path::new(&dist));
    }
    if placeholder_wanted() {
        let folder = out.join("placeholder");
        write_placeholder(&folder).map_err(|error| format!("could not write {}: {error}", folder.display()))?;
        return Ok(folder);
    }
    // Asked when run, not when compiled: checkouts that share a target folder share the compiled script.
    let package = env::var_os("CARGO_MANIFEST_DIR").ok_or("CARGO_MANIFEST_DIR is not set: run by cargo only")?;
    let web = Path::new(&package).join("web");
    for source in SOURCES {
        println!("cargo::rerun-if-changed=web/{source}");
    }
    let builds = target_root(&out).join("console");
    let hash = hash_of_sources(&web)
        .map_err(|error| format!("could not read the sources of the console in {}: {error}", web.display()))?;
    let wanted = builds.join(&hash);
    if wanted.join("index.html").is_file() {
        return Ok(wanted);
    }
    check_node()?;
    fs::create_dir_all(&builds).map_err(|error| format!("could not create {}: {error}", builds.display()))?;
    // Two cargo processes (an editor and a shell) must not install into one node_modules.
    let lock = web.join(".build-lock");
    let _held = File::create(&lock)
        .and_then(|file| file.lock().map(|()| file))
        .map_err(|error| format!("could not lock {}: {error}", lock.display()))?;
    if !wanted.join("index.html").is_file() {
        install(&web)?;
        build(&web, &builds, &hash)?;
        drop_old_builds(&builds, &wanted);
    }
    Ok(wanted)
}

/// A build somebody else made: a package's, or the node stage of a container.
fn ready_build(dist: &Path) -> Result<PathBuf, String> {
    println!("cargo::rerun-if-changed={}", dist.display());
    let page = fs::read_to_string(dist.join("index.html"))
        .map_err(|error| format!("YELLOWLINE_CONSOLE_DIST={} has no readable index.html: {error}", dist.display()))?;
    if !page.contains("id=\"root\"") {
        return Err(format!("YELLOWLINE_CONSOLE_DIST={}: index.html is not a build of dashboards/web", dist.display()));
    }
    dist.canonicalize().map_err(|error| format!("YELLOWLINE_CONSOLE_DIST={}: {error}", dist.display()))
}

/// Tools that only look at the code do not wait for a web build.
fn placeholder_wanted() -> bool {
    let wraps = |name: &str, tool: &str| env::var_os(name).is_some_and(|value| value.to_string_lossy().contains(tool));
    env::var_os("YELLOWLINE_CONSOLE").is_some_and(|value| value == "skip")
        || wraps("RUSTC_WORKSPACE_WRAPPER", "clippy")
        || wraps("RUSTC_WORKSPACE_WRAPPER", "rust-analyzer")
        || wraps("RUSTC_WRAPPER", "rust-analyzer")
}

fn write_placeholder(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let page = folder.join("index.html");
    // Only when it differs: a new mtime would run this script at every build.
    if fs::read_to_string(&page).is_ok_and(|old| old == PLACEHOLDER) { Ok(()) } else { fs::write(page, PLACEHOLDER) }
}

/// `OUT_DIR` is `<target>[/<triple>]/<profile>/build/<package>/out`; cargo marks `<target>` with CACHEDIR.TAG.
fn target_root(out: &Path) -> PathBuf {
    let marked = out.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file());
    marked.or_else(|| out.ancestors().nth(4)).unwrap_or(out).to_path_buf()
}

/// First 16 hex digits of SHA-256 over names and contents, in order of name.
fn hash_of_sources(web: &Path) -> io::Result<String> {
    let mut files = Vec::new();
    for source in SOURCES {
        collect(&web.join(source), &mut files)?;
    }
    files.sort();
    let mut hasher = Sha256::new();
    for file in files {
        let name = file.strip_prefix(web).unwrap_or(&file).to_string_lossy().replace('\\', "/");
        let content = fs::read(&file)?;
        hasher.update(format!("{name}\0{}\0", content.len()));
        hasher.update(content);
    }
    Ok(hasher.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect())
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if !path.is_dir() {
        files.push(path.to_path_buf());
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        collect(&entry?.path(), files)?;
    }
    Ok(())
}

fn check_node() -> Result<(), String> {
    let output = Command::new("node")
        .arg("--version")
        .output()
        .map_err(|error| format!("the console is built with node ({NODE_NEEDED}), which did not start: {error}"))?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let mut numbers = version.trim_start_matches('v').split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let fits = match (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) {
        (20, minor) => minor >= 19,
        (22, minor) => minor >= 12,
        (major, _) => major > 22,
    };
    if fits { Ok(()) } else { Err(format!("the console is built with node {NODE_NEEDED}; found {version}")) }
}

/// `npm ci`, unless node_modules was installed from this very lock file.
fn install(web: &Path) -> Result<(), String> {
    let lock_file = fs::read_to_string(web.join("package-lock.json"))
        .map_err(|error| format!("could not read package-lock.json: {error}"))?;
    let stamp = web.join("node_modules/.installed-from");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == lock_file) {
        return Ok(());
    }
    let npm = if cfg!(windows) { "npm.cmd" } else { "npm" };
    // NODE_ENV=production in the caller's shell would leave out the build tools.
    let output = Command::new(npm)
        .args(["ci", "--ignore-scripts", "--include=dev", "--prefer-offline", "--no-audit", "--no-fund"])
        .env_remove("NODE_ENV")
        .current_dir(web)
        .output()
        .map_err(|error| format!("npm is needed to build the console and did not start: {error}"))?;
    succeeded("npm ci", &output)?;
    fs::write(&stamp, lock_file).map_err(|error| format!("could not write {}: {error}", stamp.display()))
}

fn build(web: &Path, builds: &Path, hash: &str) -> Result<(), String> {
    let scratch = builds.join(format!(".{hash}-{}", std::process::id()));
    let output = Command::new("node")
        .args(["node_modules/vite/bin/vite.js", "build", "--emptyOutDir", "--logLevel", "warn", "--outDir"])
        .arg(&scratch)
        .env_remove("NODE_ENV")
        .env("YELLOWLINE_CONSOLE_BUILD_ID", hash)
        .current_dir(web)
        .output()
        .map_err(|error| format!("node did not start: {error}"))?;
    succeeded("vite build", &output)?;
    let wanted = builds.join(hash);
    match fs::rename(&scratch, &wanted) {
        // Another checkout with the same sources and target folder was faster.
        Err(_) if wanted.join("index.html").is_file() => {
            fs::remove_dir_all(&scratch).map_err(|error| format!("could not remove {}: {error}", scratch.display()))
        }
        outcome => outcome.map_err(|error| format!("could not move the build to {}: {error}", wanted.display())),
    }
}

/// The output of a tool is shown only when it failed: cargo reads this script's stdout.
fn succeeded(tool: &str, output: &Output) -> Result<(), String> {
    if output.status.success() {
        return Ok(());
    }
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let lines: Vec<&str> = text.lines().collect();
    let tail = lines[lines.len().saturating_sub(OUTPUT_LINES_MAX)..].join("\n");
    Err(format!("{tool} failed in dashboards/web ({}):\n{tail}", output.status))
}

/// Best effort: a folder that cannot be read or removed now is tried again after the next build.
fn drop_old_builds(builds: &Path, newest: &Path) {
    let Ok(entries) = fs::read_dir(builds) else {
        return;
    };
    let mut old: Vec<_> = entries
        .flatten()
        .filter(|entry| entry.path() != newest)
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    old.sort();
    let surplus = old.len().saturating_sub(BUILDS_KEPT);
    for (_, folder) in old.into_iter().take(surplus) {
        drop(fs::remove_dir_all(folder));
    }
}
