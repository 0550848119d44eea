//! The hour of the incident: experiment 13 goes to 80 % and its variant B breaks most of the checkout, in the middle of an
//! ordinary busy hour.

use super::{Environment, MINUTE, Off, Release, SECOND, Service, Setting, Story};

/// The experiment whose variant B breaks the payment form.
pub const BROKEN_EXPERIMENT: u32 = 13;
/// Share of guests it goes to.
const SHARE: f64 = 0.8;
/// Share of a broken variant's guests who cannot pay on a phone; the form waits for a script that phones load last.
const BROKEN_MOBILE: f64 = 0.74;
/// The same on a computer.
const BROKEN_DESKTOP: f64 = 0.62;
/// Share of the bookings lost: 80 % of guests times 69 % of them (58 % use a phone).
pub const EXPECTED_LOSS: f64 = 0.55;

static CACHE_TTL: Setting =
    Setting { key: "search.cache_ttl_s", service: Service::Api, owner: "search-team", from: "300", to: "120" };
static CARD_TIMEOUT: Setting = Setting {
    key: "payments.timeout_ms",
    service: Service::Payments,
    owner: "payments-team",
    from: "2500",
    to: "2000",
};
static IMAGES: Setting =
    Setting { key: "cdn.image_quality", service: Service::Web, owner: "platform-team", from: "82", to: "78" };
static MARGIN: Setting =
    Setting { key: "pricing.margin_floor", service: Service::Api, owner: "pricing-team", from: "0.11", to: "0.12" };

impl Story {
    /// The earlier part of the busy hour before an activation planned for `planned` (µs since 1970), all in production: two
    /// deploys (the second ships the code of experiment 13 at 0 %), two config changes, another experiment.
    pub fn busy_hour(&mut self, planned: i64) {
        let at = |minutes: i64, seconds: i64| planned + minutes * MINUTE + seconds * SECOND;
        let production = Environment::Production;
        self.ship(Service::Api, at(-47, -14));
        self.configure(production, &CACHE_TTL, CACHE_TTL.to, at(-39, -37));
        let other = if self.share(production, 21, planned) < 0.5 { 0.5 } else { 0.2 };
        self.ramp(production, 21, other, at(-33, -5));
        self.ship(Service::Web, at(-27, -12));
        self.configure(production, &CARD_TIMEOUT, CARD_TIMEOUT.to, at(-16, -48));
    }

    /// The activation itself at `activation` (µs since 1970). `off_url`, if any, is where a `POST {"share": 0}` switches
    /// experiment 13 off.
    ///
    /// Two config changes in production, 2:21 before and 1:52 after, lie within three minutes of it. Staging gets a deploy 17 s
    /// after it, in the same minute as long as the activation comes before second 43.
    pub fn activate(&mut self, activation: i64, off_url: Option<String>) {
        let at = |minutes: i64, seconds: i64| activation + minutes * MINUTE + seconds * SECOND;
        let production = Environment::Production;
        self.configure(production, &IMAGES, IMAGES.to, at(-2, -21));
        let body = serde_json::json!({ "share": 0 });
        let off = off_url.map(|url| Off { url, method: "POST", body });
        self.ramp(production, BROKEN_EXPERIMENT, SHARE, activation).off = off;
        let next = self.next_release(Service::Web, activation);
        let candidate = Release { version: format!("{}-rc.1", next.version), ..next };
        self.deploy(Environment::Staging, Service::Web, candidate, at(0, 17));
        self.configure(production, &MARGIN, MARGIN.to, at(1, 52));
    }

    /// True if a guest's payments fail in variant B of the broken experiment; `draw` is the guest's own number in [0, 1).
    #[must_use]
    pub fn payment_breaks(&self, environment: Environment, user: u32, is_mobile: bool, draw: f64, time: i64) -> bool {
        let harmed = if is_mobile { BROKEN_MOBILE } else { BROKEN_DESKTOP };
        environment == Environment::Production
            && draw < harmed
            && self.in_variant_b(environment, BROKEN_EXPERIMENT, user, time)
    }

    fn ship(&mut self, service: Service, time: i64) {
        let release = self.next_release(service, time);
        self.deploy(Environment::Staging, service, release.clone(), time - 65 * MINUTE);
        self.deploy(Environment::Production, service, release, time);
    }
}
