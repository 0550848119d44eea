//! One request as the events of the services that answered it.

use super::{
    Page, Profile, Site, experiments,
    guests::Guest,
    hotels::Hotel,
    lists,
    traffic::{Ending, Step, Visit},
    wide,
};
use crate::{
    json::Json,
    markets::MARKETS,
    random::{Random, hash, unit},
    story::{BROKEN_EXPERIMENT, Environment, Service, Story},
};

/// What one request came to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request {
    /// Events written: one per service that answered.
    pub(super) events: u32,
    /// A booking in production.
    pub(super) booked: bool,
    /// A payment in production that failed for a fault of the site.
    pub(super) broken: bool,
}

/// Everything the writers of an event's parts look at.
pub(super) struct Facts<'a> {
    pub(super) site: &'a Site,
    pub(super) story: &'a Story,
    pub(super) visit: &'a Visit,
    pub(super) guest: &'a Guest,
    pub(super) hotel: &'a Hotel,
    pub(super) page: Page,
    /// Place of the request in the visit.
    pub(super) number: u8,
    pub(super) service: Service,
    pub(super) instance: u32,
    /// µs since 1970.
    pub(super) time: i64,
    pub(super) status: u16,
    pub(super) duration_us: u64,
    /// True if the payment form of variant B failed.
    pub(super) broken: bool,
    /// Random stream of this event.
    pub(super) random: Random,
}

/// Writes the events of one request, one line each.
pub(super) fn write_request(site: &Site, story: &Story, step: &Step, out: &mut Vec<u8>) -> Request {
    let visit = &step.visit;
    let mut random = Random::of(visit.seed, 23, u64::from(step.number));
    let guest = &site.guests[visit.guest as usize];
    let broken = step.page == Page::Pay && {
        let draw = unit(hash(visit.seed));
        story.payment_breaks(visit.environment, visit.guest, guest.is_mobile, draw, step.time)
    };
    let status = if broken { 500 } else { status(step.page, visit.ending, random.unit()) };
    // Guests look at a few hotels and book the last.
    let hotel =
        if step.page == Page::Hotel { (visit.hotel + u32::from(step.number) * 7) % super::HOTELS } else { visit.hotel };
    let mut facts = Facts {
        site,
        story,
        visit,
        guest,
        hotel: &site.hotels[hotel as usize],
        page: step.page,
        number: step.number,
        service: Service::Web,
        instance: random.below(Site::instances(Service::Web, visit.environment)),
        time: step.time,
        status,
        duration_us: duration(site, step.page, Service::Web, status, &mut random),
        broken,
        random,
    };
    if facts.page == Page::Checkout && experiments::variant(&facts, BROKEN_EXPERIMENT) == Some("B") {
        facts.duration_us += super::ONE_STEP_EXTRA_US;
    }
    write_event(&mut facts, out);
    let events = 1 + u32::from(write_service_behind(&mut facts, out));
    let is_production = visit.environment == Environment::Production;
    Request {
        events,
        booked: is_production && step.page == Page::Pay && status == 200,
        broken: broken && is_production,
    }
}

/// Payments answers each payment that reaches it, the API one page in six. True if it did.
fn write_service_behind(facts: &mut Facts<'_>, out: &mut Vec<u8>) -> bool {
    let (service, share, status) = match facts.page {
        Page::Search | Page::Hotel => (Service::Api, 0.16, if facts.status == 200 { 200 } else { 500 }),
        Page::Checkout => return false,
        Page::Pay if facts.broken || facts.status == 409 => return false,
        Page::Pay => (Service::Payments, 1.0, facts.status),
    };
    if !facts.random.chance(share) {
        return false;
    }
    facts.service = service;
    facts.status = status;
    facts.instance = facts.random.below(Site::instances(service, facts.visit.environment));
    let own = duration(facts.site, facts.page, service, status, &mut facts.random);
    facts.time += i64::try_from(facts.duration_us / 20).unwrap_or(0);
    facts.duration_us = own.min(facts.duration_us * 9 / 10);
    write_event(facts, out);
    true
}

fn status(page: Page, ending: Ending, draw: f64) -> u16 {
    match (page, ending) {
        (Page::Search, _) if draw < 0.002 => 503,
        (Page::Hotel, _) if draw < 0.0015 => 500,
        (Page::Hotel, _) if draw < 0.008 => 404,
        (Page::Checkout, _) if draw < 0.009 => 409,
        (Page::Pay, Ending::Declined) => 402,
        (Page::Pay, Ending::SoldOut) => 409,
        _ => 200,
    }
}

fn duration(site: &Site, page: Page, service: Service, status: u16, random: &mut Random) -> u64 {
    let factor = site.latency[usize::try_from(random.bits() >> 52).unwrap_or(0)];
    let median = match status {
        404 | 409 => 38_000,
        500 => 212_000,
        503 => 2_000_000,
        _ => page.median_us(service),
    };
    median * u64::from(factor) / 1_000 + random.bits() % 1_000
}

/// Writes one event and the end of its line.
fn write_event(facts: &mut Facts<'_>, out: &mut Vec<u8>) {
    let mut json = Json(out);
    let json = &mut json;
    let release = facts.story.release(facts.visit.environment, facts.service, facts.instance, facts.time);
    json.item().time("time", facts.time).text("environment", facts.visit.environment.name());
    write_service(facts, &release.version, json);
    json.text("rollout", &release.rollout);
    let trace = hash(facts.visit.seed ^ (u64::from(facts.number) << 8));
    json.begin_text("trace_id").hex(hash(trace), 16).hex(trace, 16).end_text();
    json.begin_text("span_id").hex(hash(trace ^ (facts.service as u64 + 1)), 16).end_text();
    json.text("route", facts.page.route(facts.service)).int("status", facts.status);
    json.thousandths("duration_ms", facts.duration_us);
    json.members(&facts.guest.members);
    experiments::write(facts, json);
    write_business(facts, json);
    if facts.site.profile == Profile::Wide {
        wide::write(facts, json);
    }
    if facts.status >= 500 || facts.status == 402 {
        write_error(facts, json);
    }
    lists::write_messages(facts, json);
    lists::write_probes(facts, json);
    json.end();
    out.push(b'\n');
}

fn write_service(facts: &mut Facts<'_>, version: &str, json: &mut Json<'_>) {
    let instance = u64::from(facts.instance) + 1;
    json.object("service").text("name", facts.service.name()).text("version", version);
    if facts.site.profile == Profile::Wide {
        json.object("instance").begin_text("id").raw(facts.service.name()).raw("-").raw_int(instance);
        json.raw("-").hex(hash(instance ^ u64::from(facts.service as u8) << 9), 5).end_text();
        json.end();
    }
    json.end();
    let environment = if facts.visit.environment == Environment::Production { "" } else { "stg-" };
    json.object("host")
        .begin_text("name")
        .raw(environment)
        .raw(facts.service.name())
        .raw("-")
        .raw_int(instance)
        .end_text();
    if facts.site.profile == Profile::Wide {
        wide::write_host(facts, json);
    }
    json.end();
}

fn write_error(facts: &mut Facts<'_>, json: &mut Json<'_>) {
    let kind = match (facts.status, facts.broken) {
        (402, _) => "CardDeclined",
        (503, _) => "UpstreamTimeout",
        (_, true) => "PaymentFormNotReady",
        _ => facts.random.pick(&["ConnectionReset", "UpstreamTimeout", "UnexpectedNull"]),
    };
    json.object("error").text("type", kind).end();
}

/// What the guest looked for, at and bought.
fn write_business(facts: &mut Facts<'_>, json: &mut Json<'_>) {
    let (visit, hotel) = (facts.visit, facts.hotel);
    if facts.page == Page::Search {
        json.object("search").text("destination", hotel.city);
        json.begin_text("checkin").raw_date(visit.checkin).end_text();
        json.int("nights", visit.nights).int("adults", visit.adults);
        json.int("results", if facts.status == 200 { results(visit) } else { 0 });
        if facts.site.profile == Profile::Wide {
            wide::write_search(facts, json);
        }
        json.end();
        return;
    }
    json.object("hotel").int("id", hotel.id).text("city", hotel.city).int("stars", hotel.stars);
    json.cents("price_per_night", night_cents(visit, hotel));
    if facts.site.profile == Profile::Wide {
        wide::write_hotel(facts, json);
    }
    json.end();
    if facts.page == Page::Pay && facts.service == Service::Web {
        let made = facts.status == 200;
        json.object("booking").flag("made", made).int("nights", visit.nights);
        if made {
            json.cents("total", total_cents(visit, hotel));
        }
        if facts.site.profile == Profile::Wide {
            wide::write_booking(facts, json);
        }
        json.end();
    }
}

/// Hotels a search finds; the same number as long as a guest searches for the same.
pub(super) fn results(visit: &Visit) -> u32 {
    let city_size = 12 + visit.hotel % 7 * 31;
    city_size + u32::try_from(hash(visit.seed) % 90).unwrap_or(0)
}

/// Price of a night in cents of a euro: the hotel's usual one, a fifth dearer or cheaper by date.
pub(super) fn night_cents(visit: &Visit, hotel: &Hotel) -> u64 {
    let swing = hash(u64::from(visit.checkin.cast_unsigned()) ^ u64::from(hotel.id)) % 400;
    u64::from(hotel.night_cents) * (800 + swing) / 1_000
}

/// Price of the stay in cents of a euro.
pub(super) fn total_cents(visit: &Visit, hotel: &Hotel) -> u64 {
    let rooms = u64::from(visit.adults).div_ceil(2);
    night_cents(visit, hotel) * u64::from(visit.nights) * rooms
}

impl Facts<'_> {
    /// Country of the market the visit belongs to.
    pub(super) fn country(&self) -> &'static str {
        MARKETS[usize::from(self.visit.market)].country
    }

    /// Part of the duration, in µs, between `low` and `high` percent.
    pub(super) fn part_us(&mut self, low: u32, high: u32) -> u64 {
        self.duration_us * u64::from(self.random.between(low, high)) / 100
    }
}
