//! Guests: where from, with which machine; the part of an event that only depends on them is written once.

use super::Profile;
use crate::{json::Json, markets::Market, random::Random};

/// Operating system, browser, device, share, user agent around the browser's version.
struct Machine {
    os: &'static str,
    os_versions: &'static [&'static str],
    browser: &'static str,
    browser_versions: &'static [&'static str],
    device: &'static str,
    share: f64,
    agent: (&'static str, &'static str),
    screens: &'static [(u32, u32)],
}

const PHONES: &[(u32, u32)] = &[(390, 844), (393, 852), (360, 800), (412, 915), (430, 932)];
const COMPUTERS: &[(u32, u32)] = &[(1920, 1080), (1536, 864), (1440, 900), (2560, 1440), (1366, 768)];
const APPLE_WEBKIT: &str = "AppleWebKit/605.1.15 (KHTML, like Gecko) Version/";
const CHROMIUM: &str = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/";

static MACHINES: [Machine; 9] = [
    Machine {
        os: "iOS",
        os_versions: &["18.6", "18.7", "26.0", "26.1"],
        browser: "Safari",
        browser_versions: &["18.6", "26.0", "26.1"],
        device: "mobile",
        share: 0.27,
        agent: ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) ", " Mobile/15E148 Safari/604.1"),
        screens: PHONES,
    },
    Machine {
        os: "Android",
        os_versions: &["13", "14", "15", "16"],
        browser: "Chrome",
        browser_versions: &["140.0.0.0", "141.0.0.0", "142.0.0.0"],
        device: "mobile",
        share: 0.26,
        agent: ("Mozilla/5.0 (Linux; Android 10; K) ", " Mobile Safari/537.36"),
        screens: PHONES,
    },
    Machine {
        os: "Android",
        os_versions: &["13", "14", "15"],
        browser: "Samsung Internet",
        browser_versions: &["28.0", "29.0"],
        device: "mobile",
        share: 0.05,
        agent: ("Mozilla/5.0 (Linux; Android 10; K) SamsungBrowser/28.0 ", " Mobile Safari/537.36"),
        screens: PHONES,
    },
    Machine {
        os: "Windows",
        os_versions: &["10", "11"],
        browser: "Chrome",
        browser_versions: &["139.0.0.0", "141.0.0.0", "142.0.0.0"],
        device: "desktop",
        share: 0.17,
        agent: ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) ", " Safari/537.36"),
        screens: COMPUTERS,
    },
    Machine {
        os: "Windows",
        os_versions: &["10", "11"],
        browser: "Edge",
        browser_versions: &["141.0.0.0", "142.0.0.0"],
        device: "desktop",
        share: 0.07,
        agent: ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) ", " Safari/537.36 Edg/142.0.0.0"),
        screens: COMPUTERS,
    },
    Machine {
        os: "macOS",
        os_versions: &["14.7", "15.6", "26.0"],
        browser: "Safari",
        browser_versions: &["18.6", "26.0", "26.1"],
        device: "desktop",
        share: 0.07,
        agent: ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) ", " Safari/605.1.15"),
        screens: COMPUTERS,
    },
    Machine {
        os: "macOS",
        os_versions: &["14.7", "15.6", "26.0"],
        browser: "Chrome",
        browser_versions: &["141.0.0.0", "142.0.0.0"],
        device: "desktop",
        share: 0.06,
        agent: ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) ", " Safari/537.36"),
        screens: COMPUTERS,
    },
    Machine {
        os: "Windows",
        os_versions: &["10", "11"],
        browser: "Firefox",
        browser_versions: &["143.0", "144.0", "145.0"],
        device: "desktop",
        share: 0.03,
        agent: ("Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/", ""),
        screens: COMPUTERS,
    },
    Machine {
        os: "Linux",
        os_versions: &["6.12", "6.17"],
        browser: "Firefox",
        browser_versions: &["140.0", "145.0"],
        device: "desktop",
        share: 0.02,
        agent: ("Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/", ""),
        screens: COMPUTERS,
    },
];

static TIERS: [&str; 4] = ["none", "none", "silver", "gold"];

/// One guest, or a tester of staging.
#[derive(Debug)]
pub(super) struct Guest {
    pub(super) is_mobile: bool,
    /// Code of the money the guest sees.
    pub(super) currency: &'static str,
    /// Members of the event that are the guest's own: `country`, `os`, `user` and so on.
    pub(super) members: Box<str>,
    /// User agent, for the wide profile.
    pub(super) agent: Box<str>,
}

impl Guest {
    /// Draws guest `number`; without a market it is a tester of staging.
    pub(super) fn draw(seed: u64, number: u32, market: Option<&'static Market>, profile: Profile) -> Self {
        let mut random = Random::of(seed, 11, u64::from(number));
        let home = market.unwrap_or(&crate::markets::MARKETS[0]);
        let machine = pick_machine(random.unit());
        let browser_version = random.pick(machine.browser_versions);
        let engine = match machine.browser {
            "Safari" => APPLE_WEBKIT,
            "Firefox" => "",
            _ => CHROMIUM,
        };
        let agent = format!("{}{engine}{browser_version}{}", machine.agent.0, machine.agent.1).into();
        let mut members = Vec::with_capacity(512);
        let mut json = Json(&mut members);
        json.text("country", home.country).text("currency", home.currency);
        json.text("os", machine.os).text("browser", machine.browser).text("device", machine.device);
        if profile == Profile::Wide {
            json.text("os_version", random.pick(machine.os_versions)).text("browser_version", browser_version);
            let (width, height) = random.pick(machine.screens);
            json.object("screen").int("width", width).int("height", height).end();
            json.object("client").begin_text("address");
            write_address(&mut json, &mut random);
            json.end_text();
            json.text("city", random.pick(home.cities)).end();
        }
        json.object("user");
        // Multiplying by a number prime to the range shuffles it: each guest a number of seven digits, none twice.
        let id = (u64::from(number) * 7_919_423 + seed % 1_000) % 9_000_000 + 1_000_000;
        json.begin_text("id").raw(if market.is_some() { "u" } else { "qa" }).raw_int(id).end_text();
        json.text("tier", random.pick(&TIERS));
        if profile == Profile::Wide {
            json.text("language", home.language).flag("signed_in", random.chance(0.8));
            json.int("bookings", random.below(10) * random.below(4));
        }
        json.end();
        Self {
            is_mobile: machine.device == "mobile",
            currency: home.currency,
            members: String::from_utf8(members).unwrap_or_default().into(),
            agent,
        }
    }
}

fn pick_machine(mut point: f64) -> &'static Machine {
    for machine in &MACHINES {
        point -= machine.share;
        if point < 0.0 {
            return machine;
        }
    }
    &MACHINES[0]
}

/// Addresses nobody has: RFC 2544's benchmark range and RFC 3849's documentation prefix.
fn write_address(json: &mut Json<'_>, random: &mut Random) {
    if random.chance(0.55) {
        json.raw(if random.chance(0.5) { "198.18." } else { "198.19." });
        json.raw_int(random.below(256).into()).raw(".").raw_int(random.between(1, 254).into());
    } else {
        json.raw("2001:db8:").hex(random.bits(), 4).raw(":").hex(random.bits(), 4).raw("::").hex(random.bits(), 3);
    }
}
