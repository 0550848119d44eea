//! What the wide profile knows on top: host, runtime, HTTP, session, caches, the rest of search, hotel and booking.

use super::{Page, event::Facts};
use crate::{
    json::Json,
    random::{Random, hash},
    story::{Environment, Service},
};

static ZONES: [&str; 3] = ["eu-west-1a", "eu-west-1b", "eu-west-1c"];
static CAMPAIGNS: [&str; 6] = ["direct", "search-brand", "search-city", "newsletter-46", "affiliate", "metasearch"];
static ROOMS: [&str; 6] = ["double-standard", "double-deluxe", "twin", "single", "family", "suite"];
static METHODS: [&str; 5] = ["card", "card", "wallet", "ideal", "paypal"];
static SORTS: [&str; 4] = ["recommended", "recommended", "price", "score"];

/// Inside `host`.
pub(super) fn write_host(facts: &mut Facts<'_>, json: &mut Json<'_>) {
    let busy = u64::from(facts.random.between(8, 71));
    json.cents("cpu_load", busy * 4 + facts.random.bits() % 40);
    json.int("memory_free_mb", 900 + hash(u64::from(facts.instance)) % 2_000 + facts.random.bits() % 300);
}

/// Inside `search`.
pub(super) fn write_search(facts: &mut Facts<'_>, json: &mut Json<'_>) {
    json.int("children", facts.visit.seed % 5 / 3).int("rooms", u32::from(facts.visit.adults).div_ceil(2));
    json.int("page", 1 + facts.random.below(2) * facts.random.below(4));
    json.text("sort", facts.random.pick(&SORTS)).flag("cached", facts.random.chance(0.44));
}

/// Inside `hotel`.
pub(super) fn write_hotel(facts: &mut Facts<'_>, json: &mut Json<'_>) {
    json.thousandths("review_score", u64::from(facts.hotel.score_tenths) * 100);
    json.int("rooms_left", facts.random.below(14));
}

/// Inside `booking`.
pub(super) fn write_booking(facts: &mut Facts<'_>, json: &mut Json<'_>) {
    let visit = facts.visit;
    if facts.status == 200 {
        json.begin_text("id").raw("b").hex(hash(visit.seed ^ 77), 10).end_text();
    }
    json.text("room_type", facts.random.pick(&ROOMS)).text("payment_method", facts.random.pick(&METHODS));
    let today = visit.start.div_euclid(86_400_000_000);
    json.int("lead_days", u64::try_from(i64::from(visit.checkin) - today).unwrap_or(0));
}

/// Members of the event itself.
pub(super) fn write(facts: &mut Facts<'_>, json: &mut Json<'_>) {
    write_platform(facts, json);
    write_http(facts, json);
    write_session(facts, json);
    let total = facts.duration_us;
    let (queue, cpu, render) = (facts.part_us(0, 3), facts.part_us(8, 40), facts.part_us(2, 18));
    json.object("timing")
        .thousandths("queue_ms", queue)
        .thousandths("cpu_ms", cpu)
        .thousandths("render_ms", render)
        .end();
    let queries = facts.random.between(1, 9);
    let sql = facts.part_us(5, 45).min(total);
    json.object("db").int("queries", queries).thousandths("sql_ms", sql);
    json.int("rows", u64::from(queries) * (1 + facts.random.bits() % 40)).end();
    let hits = facts.random.below(60);
    json.object("cache").int("hits", hits).int("misses", facts.random.below(4 + hits / 8)).end();
}

fn write_platform(facts: &mut Facts<'_>, json: &mut Json<'_>) {
    let zone = facts.instance as usize % ZONES.len();
    json.object("cloud").text("region", "eu-west-1").text("availability_zone", ZONES[zone]).end();
    let release = facts.story.release(facts.visit.environment, facts.service, facts.instance, facts.time);
    let pod = hash(u64::from(facts.instance) ^ u64::from_str_radix(&release.rollout, 16).unwrap_or(0));
    json.object("k8s")
        .object("pod")
        .begin_text("name")
        .raw(facts.service.name())
        .raw("-")
        .raw(&release.rollout)
        .raw("-");
    json.hex(pod, 5).end_text();
    json.end();
    json.end();
    let uptime = facts.time / 1_000_000 % 86_400 + i64::from(facts.instance) * 20;
    json.object("process").int("uptime_s", uptime.cast_unsigned());
    json.thousandths("gc_ms", if facts.random.chance(0.2) { facts.random.bits() % 9_000 } else { 0 });
    json.int("heap_mb", 310 + facts.random.below(420)).end();
}

fn write_http(facts: &mut Facts<'_>, json: &mut Json<'_>) {
    let is_post = facts.page == Page::Pay || facts.service == Service::Payments;
    json.object("http").text("method", if is_post { "POST" } else { "GET" }).begin_text("path");
    match (facts.service, facts.page) {
        (Service::Web, Page::Search) => {
            json.raw("/search?city=").raw(facts.hotel.city).raw("&checkin=").raw_date(facts.visit.checkin);
            json.raw("&nights=").raw_int(facts.visit.nights.into()).raw("&adults=").raw_int(facts.visit.adults.into());
        }
        (Service::Web, Page::Hotel) => {
            json.raw("/hotel/").raw_int(facts.hotel.id.into()).raw("?checkin=").raw_date(facts.visit.checkin);
        }
        (service, page) => {
            json.raw(page.route(service));
        }
    }
    json.end_text();
    json.text("referrer", referrer(facts)).text("user_agent", &facts.guest.agent);
    json.int("request_bytes", 420 + facts.random.below(if is_post { 2_400 } else { 700 }));
    json.int(
        "response_bytes",
        if facts.status < 300 { 3_000 + facts.random.bits() % 84_000 } else { 240 + facts.random.bits() % 900 },
    );
    json.text("protocol", if facts.service == Service::Web && facts.guest.is_mobile { "h3" } else { "h2" }).end();
}

fn referrer(facts: &Facts<'_>) -> &'static str {
    match (facts.number, facts.page) {
        (0, _) if facts.visit.seed.is_multiple_of(3) => "https://metasearch.example.net/hotels",
        (0, _) => "https://search.example.org/",
        (_, Page::Search | Page::Hotel) => "https://www.booking.example.com/search",
        (_, Page::Checkout) => "https://www.booking.example.com/hotel",
        (_, Page::Pay) => "https://www.booking.example.com/checkout",
    }
}

fn write_session(facts: &mut Facts<'_>, json: &mut Json<'_>) {
    let age = (facts.time - facts.visit.start).max(0) / 1_000_000;
    let is_staging = facts.visit.environment == Environment::Staging;
    let campaign = if is_staging { CAMPAIGNS[0] } else { Random::of(facts.visit.seed, 24, 0).pick(&CAMPAIGNS) };
    json.object("session").begin_text("id").hex(facts.visit.seed >> 16, 12).end_text();
    json.int("page_views", facts.number + 1).int("age_s", age.cast_unsigned());
    json.text("campaign", campaign).end();
}
