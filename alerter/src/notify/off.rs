//! The call that turns a change off: whom it may reach, and how it is signed.
//!
//! A change names its own address, so anybody who may declare changes could make us call anything: only what the
//! configuration lists is called. A listed address may be private; what is not listed is refused, private or not.

use std::path::Path;

use reqwest::Url;
use serde::{Deserialize, Serialize};
use store::Timestamp;

use super::{transport::Request, webhook};
use crate::{
    config::Environment,
    definition::{Secret, read_secret},
    off::Call,
};

/// One entry of `alerter.off_targets`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OffTarget {
    /// Calls whose address begins so are allowed: same scheme, host and port, and a path at or below this one.
    pub url: String,
    /// File with the signing secret (whsec_…), relative to `alerter.folder`; or
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<String>,
    /// the variable of the process environment that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_env: Option<String>,
}

impl OffTarget {
    /// What is wrong with it.
    pub(crate) fn problem(&self) -> Option<String> {
        let place = format!("alerter.off_targets: {:?}", self.url);
        match parsed(&self.url) {
            None => {
                return Some(format!(
                    "{place} must be an http:// or https:// address without user, query and fragment"
                ));
            }
            Some(url) if url.query().is_some() || url.fragment().is_some() => {
                return Some(format!("{place} must have no query and no fragment"));
            }
            Some(_) => {}
        }
        match (&self.secret_file, &self.secret_env) {
            (None, None) => Some(format!("{place} needs `secret_file` or `secret_env`: calls are signed (whsec_…)")),
            (Some(_), Some(_)) => Some(format!("{place}: give either `secret_file` or `secret_env`")),
            _ => None,
        }
    }

    /// What keeps its calls from being signed now. Names the secret's place, never its content.
    pub(crate) fn secret_problem(&self, folder: &Path, environment: &Environment) -> Option<String> {
        let secret = read_secret(folder, &self.secret()?, environment);
        let signed = secret.and_then(|secret| webhook::headers(&secret, "", Timestamp::default(), b""));
        signed.err().map(|message| format!("alerter.off_targets: {:?}: {message}", self.url))
    }

    fn secret(&self) -> Option<Secret> {
        let file = self.secret_file.clone().map(Secret::File);
        file.or_else(|| self.secret_env.clone().map(Secret::Env))
    }

    /// True when a call to `url` is allowed by this entry.
    fn covers(&self, url: &Url) -> bool {
        let Some(own) = parsed(&self.url) else { return false };
        let same_place = own.scheme() == url.scheme()
            && own.host_str() == url.host_str()
            && own.port_or_known_default() == url.port_or_known_default();
        let (prefix, path) = (own.path().trim_end_matches('/'), url.path());
        let below = path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        same_place && below
    }
}

/// An address we would call: dot segments resolved, no user.
fn parsed(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let web = matches!(url.scheme(), "http" | "https") && url.has_host();
    (web && url.username().is_empty() && url.password().is_none()).then_some(url)
}

/// The entry that allows a call.
pub(crate) fn target<'a>(targets: &'a [OffTarget], call: &Call) -> Result<&'a OffTarget, String> {
    let refused = |why: &str| Err(format!("{} may not be called: {why}", call.url));
    let Some(url) = parsed(&call.url) else { return refused("it is no plain http or https address") };
    // A path that the target may read otherwise than we do reaches places that are not listed.
    let path = url.path().to_ascii_lowercase();
    if path.contains("%2e") || path.contains("%2f") || path.contains("%5c") || path.contains("//") {
        return refused("its path hides dots or slashes");
    }
    match targets.iter().find(|target| target.covers(&url)) {
        Some(target) => Ok(target),
        None => refused("no entry of `alerter.off_targets` covers it"),
    }
}

/// The signed request. Every attempt at one change carries the same `webhook-id`, so that the target can drop repeats.
pub(crate) fn request(
    call: &Call,
    target: &OffTarget,
    folder: &Path,
    environment: &Environment,
    now: Timestamp,
) -> Result<Request, String> {
    let secret = target.secret().ok_or("no secret is configured")?;
    let secret = read_secret(folder, &secret, environment)?;
    let body = call.body_text().into_bytes();
    let mut headers = webhook::headers(&secret, &message_id(call), now, &body)?;
    if !body.is_empty() {
        headers.push(("content-type", "application/json".to_owned()));
    }
    let method = http::Method::from_bytes(call.method.as_bytes());
    let method = method.map_err(|_| format!("{:?} is no method of HTTP", call.method))?;
    Ok(Request { method, url: call.url.clone(), headers, body })
}

/// `webhook-id` of every attempt at turning a change off.
pub(crate) fn message_id(call: &Call) -> String {
    format!("off_{}", call.change)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(url: &str) -> Call {
        Call { change: "01J1".into(), title: "13".into(), method: "POST".into(), url: url.into(), body: None }
    }

    fn listed(url: &str) -> OffTarget {
        OffTarget { url: url.into(), secret_file: Some("off.key".into()), secret_env: None }
    }

    fn check(entry: &str, url: &str, allowed: bool) {
        assert_eq!(target(&[listed(entry)], &call(url)).is_ok(), allowed, "{entry} {url}");
    }

    #[test]
    fn only_what_is_listed_is_called() {
        check("https://flags.example", "https://flags.example/13/off?now=1", true);
        check("https://flags.example/api/", "https://flags.example/api", true);
        check("https://flags.example/api", "https://flags.example/api/13", true);
        check("https://flags.example:443", "https://flags.example/13", true);
        check("http://10.0.0.7:8080/off", "http://10.0.0.7:8080/off/13", true);
        for url in [
            "https://flags.example/apiary",
            "https://flags.example/api/../admin",
            "https://flags.example/api/%2e%2e/admin",
            "https://flags.example/api/..%2fadmin",
            "https://flags.example/api//x",
            "https://flags.example.evil.example/api",
            "https://flags.example@evil.example/api",
            "https://user@flags.example/api",
            "https://flags.example:8443/api",
            "http://flags.example/api",
            "http://169.254.169.254/latest",
            "file:///etc/passwd",
            "flags.example/api",
        ] {
            check("https://flags.example/api", url, false);
        }
        let error = target(&[], &call("http://127.0.0.1/x")).unwrap_err();
        assert!(error.contains("alerter.off_targets"), "{error}");
    }

    #[test]
    fn a_secret_that_cannot_sign_is_told_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let environment = Environment::new(|name| (name == "SHORT").then(|| "whsec_c2hvcnQ=".to_owned()));
        let problem = |target: &OffTarget| target.secret_problem(folder.path(), &environment);
        let check = |target: &OffTarget, parts: [&str; 2]| {
            let text = problem(target).unwrap();
            assert!(text.starts_with("alerter.off_targets: \"https://flags.example\": "), "{text}");
            assert!(parts.iter().all(|part| text.contains(part)), "{text}");
        };
        let target = listed("https://flags.example");
        let file = folder.path().join("off.key");
        check(&target, ["could not read the secret file \"off.key\"", "No such file"]);
        std::fs::write(&file, " \n").unwrap();
        check(&target, ["the secret file \"off.key\" is empty", ""]);
        std::fs::write(&file, "hush, this is no key").unwrap();
        check(&target, ["whsec_ followed by base64", ""]);
        assert!(!problem(&target).unwrap().contains("hush"), "the content is never shown");
        std::fs::write(&file, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
        assert_eq!(problem(&target), None);
        let by_variable = |name: &str| OffTarget { secret_file: None, secret_env: Some(name.into()), ..target.clone() };
        check(&by_variable("NONE"), ["the environment variable \"NONE\"", "not set"]);
        check(&by_variable("SHORT"), ["has 5 bytes", "24 to 64"]);
    }

    #[test]
    fn an_entry_says_what_it_lacks() {
        assert_eq!(listed("https://flags.example").problem(), None);
        let check = |target: OffTarget, part: &str| assert!(target.problem().unwrap().contains(part), "{target:?}");
        check(listed("flags.example"), "http:// or https://");
        check(listed("https://flags.example/?x=1"), "no query");
        check(OffTarget { secret_file: None, ..listed("https://flags.example") }, "secret_file");
        check(OffTarget { secret_env: Some("X".into()), ..listed("https://flags.example") }, "either");
    }
}
