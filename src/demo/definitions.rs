//! The metrics and the channel of the demo, as the TOML files anybody would write.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::Context;
use base64::{Engine as _, engine::general_purpose::STANDARD};

/// Name of the metric that pages.
pub(super) const BOOKINGS: &str = "bookings";
/// Share of payments that become bookings.
pub(super) const PAYMENT_SUCCESS: &str = "payment_success";

const METRICS: &str = r#"# What the site watches. Every key is described in docs/metrics.md.

[[metric]]
name = "bookings"
title = "Bookings"
unit = "bookings"
dataset = "shop"
environment = "production"
kind = "count"
filter = "route = '/checkout/pay' AND status = 200"
slices = ["country"]
zone = "Europe/Amsterdam"
direction = "down"
smallest_drop = 0.12
channels = ["oncall"]
budget_share = 0.005
owner = "checkout-team"
runbook = "https://runbooks.example.com/bookings"

# Seen in the console, pages nobody.
[[metric]]
name = "payment_success"
title = "Payments that become bookings"
unit = "successful payments"
dataset = "shop"
environment = "production"
kind = "ratio"
filter = "route = '/checkout/pay' AND status = 200"
denominator = "route = '/checkout/pay'"
zone = "Europe/Amsterdam"
direction = "down"
smallest_drop = 0.12
owner = "checkout-team"

# Without loaded history: it says that it is still learning, and from when on it would page.
[[metric]]
name = "slow_searches"
title = "Searches slower than 500 ms"
unit = "slow searches"
dataset = "shop"
environment = "production"
kind = "latency"
filter = "route = '/search'"
value = "duration_ms"
threshold_ms = 500
zone = "Europe/Amsterdam"
direction = "up"
owner = "search-team"
"#;

/// Folder of the metric files below a data folder.
pub(super) fn folder(data: &Path) -> PathBuf {
    data.join("metrics")
}

/// Makes the key that pages are signed with and stores it for the channel; returns its bytes.
pub(super) fn write_secret(data: &Path) -> anyhow::Result<[u8; 32]> {
    let key: [u8; 32] = rand::random();
    write(data, "oncall.secret", &format!("whsec_{}\n", STANDARD.encode(key)))?;
    Ok(key)
}

/// The flag system, which the server may call; it checks the same key as the pager.
pub(super) fn off_target(flags: SocketAddr) -> alerter::OffTarget {
    let url = format!("http://{flags}/experiments");
    alerter::OffTarget { url, secret_file: Some("oncall.secret".to_owned()), secret_env: None }
}

/// Writes the channel, which pages to `url`, and the metrics.
pub(super) fn write_files(data: &Path, url: &str) -> anyhow::Result<()> {
    let channel = format!(
        "# Stands for PagerDuty or Slack: the demo receives the pages itself.\n\n[[channel]]\nname = \"oncall\"\nkind = \
         \"webhook\"\nurl = \"{url}\"\nsecret_file = \"oncall.secret\"\n"
    );
    write(data, "oncall.toml", &channel)?;
    write(data, "shop.toml", METRICS)
}

/// Written beside and renamed, so that the alerter never reads half a file.
fn write(data: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    let folder = folder(data);
    let (path, draft) = (folder.join(name), folder.join(format!(".{name}.new")));
    std::fs::create_dir_all(&folder)
        .and_then(|()| std::fs::write(&draft, text))
        .and_then(|()| std::fs::rename(&draft, &path))
        .with_context(|| format!("could not write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_are_good() {
        let folder = tempfile::tempdir().unwrap();
        write_secret(folder.path()).unwrap();
        write_files(folder.path(), "http://127.0.0.1:9/pages").unwrap();
        assert!(alerter::check(&super::folder(folder.path()), &alerter::Environment::default()).is_empty());
        for name in [BOOKINGS, PAYMENT_SUCCESS] {
            assert!(METRICS.contains(&format!("name = \"{name}\"")));
        }
    }
}
