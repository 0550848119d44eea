//! Generic webhook, signed by the Standard Webhooks scheme: `v1,<base64 HMAC-SHA256 of "id.timestamp.body">`.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use store::Timestamp;

use super::Links;
use crate::{alert::Transition, routes};

/// Shortest signing key, in bytes, by the scheme.
const KEY_BYTES_MIN: usize = 24;
/// Longest signing key, in bytes, by the scheme.
const KEY_BYTES_MAX: usize = 64;

/// `{"type", "timestamp", "data"}`; data is the alert as the API shows it.
pub(super) fn payload(transition: &Transition, links: &Links) -> Value {
    json!({
        "type": format!("alert.{}", transition.kind.as_str()),
        "timestamp": transition.time.to_rfc3339(),
        "data": routes::alert_json(&transition.alert, transition.time, links),
    })
}

/// The three headers. `secret` may hold several keys separated by white space while they are rotated: each signs.
pub(super) fn headers(
    secret: &str,
    id: &str,
    now: Timestamp,
    body: &[u8],
) -> Result<Vec<(&'static str, String)>, String> {
    let timestamp = now.seconds().to_string();
    let signatures: Vec<String> =
        secret.split_whitespace().map(|key| sign(key, id, &timestamp, body)).collect::<Result<_, _>>()?;
    Ok(vec![
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", timestamp),
        ("webhook-signature", signatures.join(" ")),
    ])
}

fn sign(secret: &str, id: &str, timestamp: &str, body: &[u8]) -> Result<String, String> {
    let encoded = secret.strip_prefix("whsec_").unwrap_or(secret);
    let key = STANDARD.decode(encoded).map_err(|_| "the signing secret is not whsec_ followed by base64".to_owned())?;
    if !(KEY_BYTES_MIN..=KEY_BYTES_MAX).contains(&key.len()) {
        return Err(format!(
            "the signing secret has {} bytes: it must have {KEY_BYTES_MIN} to {KEY_BYTES_MAX}",
            key.len()
        ));
    }
    let mut mac =
        Hmac::<Sha256>::new_from_slice(&key).map_err(|_| "the signing secret has no usable length".to_owned())?;
    mac.update(id.as_bytes());
    mac.update(b".");
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(body);
    Ok(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_the_published_example() {
        // The test vector of the Standard Webhooks reference libraries.
        let body = br#"{"test": 2432232314}"#;
        let headers = headers(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            Timestamp(1_614_265_330 * 1_000_000),
            body,
        )
        .unwrap();
        assert_eq!(headers[2].1, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn two_keys_sign_twice_and_a_bad_one_is_named_without_showing_it() {
        let key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let both = headers(&format!("{key} {key}"), "msg", Timestamp(0), b"").unwrap();
        assert_eq!(both[2].1.split(' ').count(), 2);
        let error = headers("whsec_c2hvcnQ=", "msg", Timestamp(0), b"").unwrap_err();
        assert!(error.contains("5 bytes") && !error.contains("c2hvcnQ"), "{error}");
    }
}
