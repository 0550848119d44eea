//! The lists of an event: what the code said (`messages`) and where its time went (`probes`).
//! `messages.time_ms` is counted from the start of the request.

use super::{
    Page, Profile,
    event::{Facts, night_cents, results, total_cents},
    experiments,
};
use crate::{json::Json, story::Service};

/// One message; `fill` writes the text that `template` became.
fn message(
    facts: &mut Facts<'_>,
    json: &mut Json<'_>,
    level: &str,
    template: &str,
    fill: impl FnOnce(&Facts<'_>, &mut Json<'_>),
) {
    let at = facts.part_us(1, 95);
    json.item().text("level", level).text("template", template).begin_text("text");
    fill(facts, json);
    json.end_text();
    json.thousandths("time_ms", at).end();
}

fn plain(facts: &mut Facts<'_>, json: &mut Json<'_>, level: &str, text: &str) {
    message(facts, json, level, text, |_, json| {
        json.raw(text);
    });
}

/// Writes `"messages": […]`: one to three.
pub(super) fn write_messages(facts: &mut Facts<'_>, json: &mut Json<'_>) {
    json.array("messages");
    match (facts.service, facts.page) {
        (Service::Web, Page::Search) => search_messages(facts, json),
        (Service::Web, Page::Hotel) => hotel_messages(facts, json),
        (Service::Web, Page::Checkout) => checkout_messages(facts, json),
        (Service::Web, Page::Pay) => pay_messages(facts, json),
        (Service::Api, _) => api_messages(facts, json),
        (Service::Payments, _) => payments_messages(facts, json),
    }
    if facts.site.profile == Profile::Wide && facts.random.chance(0.6) {
        message(facts, json, "debug", "session {session} loaded from {shard}", |facts, json| {
            json.raw("session ").hex(facts.visit.seed >> 16, 12).raw(" loaded from sessions-");
            json.raw_int(facts.visit.seed % 6);
        });
    }
    json.end_array();
}

fn search_messages(facts: &mut Facts<'_>, json: &mut Json<'_>) {
    if facts.status != 200 {
        return message(facts, json, "error", "availability of {city} timed out after {ms} ms", |facts, json| {
            json.raw("availability of ").raw(facts.hotel.city).raw(" timed out after ");
            json.raw_int(facts.duration_us / 1_000).raw(" ms");
        });
    }
    message(facts, json, "info", "{n} hotels in {city} from {checkin}", |facts, json| {
        json.raw_int(results(facts.visit).into()).raw(" hotels in ").raw(facts.hotel.city);
        json.raw(" from ").raw_date(facts.visit.checkin);
    });
    if facts.random.chance(0.12) {
        plain(facts, json, "info", "ranking fell back to popularity");
    }
}

fn hotel_messages(facts: &mut Facts<'_>, json: &mut Json<'_>) {
    match facts.status {
        404 => message(facts, json, "warn", "hotel {id} is not on sale in {country}", |facts, json| {
            json.raw("hotel ").raw_int(facts.hotel.id.into()).raw(" is not on sale in ").raw(facts.country());
        }),
        500 => plain(facts, json, "error", "rates service closed the connection"),
        _ => {
            message(facts, json, "info", "{n} rooms for hotel {id}", |facts, json| {
                json.raw_int(2 + facts.visit.seed % 9).raw(" rooms for hotel ").raw_int(facts.hotel.id.into());
            });
            if facts.random.chance(0.07) {
                plain(facts, json, "info", "only one room left");
            }
        }
    }
}

fn checkout_messages(facts: &mut Facts<'_>, json: &mut Json<'_>) {
    if facts.status == 409 {
        return message(facts, json, "warn", "price changed before payment: {old} to {new}", |facts, json| {
            let old = night_cents(facts.visit, facts.hotel);
            json.raw("price changed before payment: ").raw_cents(old).raw(" to ").raw_cents(old + 1 + old % 900);
        });
    }
    if experiments::variant(facts, crate::story::BROKEN_EXPERIMENT) == Some("B") {
        plain(facts, json, "info", "checkout form shown in one step");
    } else {
        plain(facts, json, "info", "checkout form shown");
    }
}

fn pay_messages(facts: &mut Facts<'_>, json: &mut Json<'_>) {
    if facts.broken {
        let field = facts.random.pick(&["card_token", "card_token", "card_token", "device_id"]);
        message(facts, json, "error", "payment form not ready: {field} missing", |_, json| {
            json.raw("payment form not ready: ").raw(field).raw(" missing");
        });
        return;
    }
    match facts.status {
        402 => plain(facts, json, "warn", "payment declined"),
        409 => message(facts, json, "info", "room no longer available in hotel {id}", |facts, json| {
            json.raw("room no longer available in hotel ").raw_int(facts.hotel.id.into());
        }),
        _ => {
            message(facts, json, "info", "booking confirmed: {nights} nights, {total} EUR", |facts, json| {
                json.raw("booking confirmed: ").raw_int(facts.visit.nights.into()).raw(" nights, ");
                json.raw_cents(total_cents(facts.visit, facts.hotel)).raw(" EUR");
            });
            if facts.random.chance(0.04) {
                plain(facts, json, "warn", "confirmation mail queued: mail server busy");
            }
        }
    }
}

fn api_messages(facts: &mut Facts<'_>, json: &mut Json<'_>) {
    if facts.status == 200 {
        message(facts, json, "debug", "{hits} of {n} rates from cache", |facts, json| {
            let n = 8 + facts.visit.seed % 40;
            json.raw_int(n - (facts.visit.seed >> 8) % (n / 3)).raw(" of ").raw_int(n).raw(" rates from cache");
        });
    } else {
        plain(facts, json, "error", "rates database: connection reset by peer");
    }
}

fn payments_messages(facts: &mut Facts<'_>, json: &mut Json<'_>) {
    if facts.status == 402 {
        let reason =
            facts.random.pick(&["insufficient_funds", "do_not_honor", "expired_card", "incorrect_cvc", "do_not_honor"]);
        return message(facts, json, "warn", "acquirer declined: {reason}", |_, json| {
            json.raw("acquirer declined: ").raw(reason);
        });
    }
    message(facts, json, "info", "authorised {amount} EUR for card in {currency}", |facts, json| {
        json.raw("authorised ")
            .raw_cents(total_cents(facts.visit, facts.hotel))
            .raw(" EUR for card in ")
            .raw(facts.guest.currency);
    });
}

/// Writes `"probes": […]`: the sections of the page, each with the experiment that guards it.
pub(super) fn write_probes(facts: &mut Facts<'_>, json: &mut Json<'_>) {
    json.array("probes");
    match (facts.service, facts.page) {
        (Service::Web, Page::Search) => {
            probe(facts, json, "search.rank", 14, Sql::None);
            if facts.site.profile == Profile::Wide {
                probe(facts, json, "search.form", 4, Sql::Session);
            }
        }
        (Service::Web, Page::Hotel) => probe(facts, json, "hotel.rates", 38, Sql::Rates),
        (Service::Web, Page::Checkout) => probe(facts, json, "checkout.form", 22, Sql::Session),
        (Service::Web, Page::Pay) => {
            probe(facts, json, "checkout.pay", 12, if facts.broken { Sql::None } else { Sql::Booking })
        }
        (Service::Api, Page::Search) => probe(facts, json, "availability.query", 70, Sql::Availability),
        (Service::Api, _) => probe(facts, json, "rates.query", 66, Sql::Rates),
        (Service::Payments, _) => probe(facts, json, "payments.store", 9, Sql::Payment),
    }
    json.end_array();
}

/// Which statement a section ran.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sql {
    None,
    Availability,
    Rates,
    Session,
    Booking,
    Payment,
}

/// One section that took about `percent` of the request.
fn probe(facts: &mut Facts<'_>, json: &mut Json<'_>, section: &str, percent: u32, sql: Sql) {
    let guard = experiments::guarding(section);
    let variant = guard.and_then(|guard| experiments::variant(facts, guard.id));
    // The two-level cache of experiment 21 asks the database half as often.
    let is_cached = section == "hotel.rates" && variant == Some("B");
    let count = 1 + facts.random.below(if is_cached { 2 } else { 4 });
    let wall = facts.part_us(percent / 2 + 1, percent + percent / 2) * if is_cached { 7 } else { 10 } / 10;
    let cpu = wall * u64::from(facts.random.between(4, 30)) / 100;
    json.item().text("section", section);
    if let (Some(guard), Some(variant)) = (guard, variant) {
        json.begin_text("experiment").raw_int(guard.id.into()).end_text();
        json.text("variant", variant);
    }
    json.int("count", count).thousandths("wall_ms", wall).thousandths("cpu_ms", cpu);
    if sql != Sql::None {
        let share = u64::from(facts.random.between(55, 95));
        json.thousandths("sql_ms", (wall - cpu) * share / 100).begin_text("sql");
        write_sql(facts, json, sql, is_cached);
        json.end_text();
    }
    json.end();
}

/// The statement with its values, as the database saw it.
fn write_sql(facts: &Facts<'_>, json: &mut Json<'_>, sql: Sql, is_cached: bool) {
    let (visit, hotel) = (facts.visit, facts.hotel);
    match sql {
        Sql::None => {}
        Sql::Availability => {
            json.raw(
                "SELECT h.id, min(a.price) FROM hotels h JOIN availability a ON a.hotel_id = h.id WHERE h.city = '",
            );
            json.raw(hotel.city).raw("' AND a.day >= DATE '").raw_date(visit.checkin).raw("' AND a.day < DATE '");
            json.raw_date(visit.checkin + i32::from(visit.nights)).raw("' AND a.rooms >= ");
            json.raw_int(u64::from(visit.adults).div_ceil(2)).raw(" GROUP BY h.id ORDER BY 2 LIMIT 200");
        }
        Sql::Rates => {
            json.raw(if is_cached {
                "SELECT payload FROM rate_cache"
            } else {
                "SELECT room_type, plan, price, rooms FROM rates"
            });
            json.raw(" WHERE hotel_id = ").raw_int(hotel.id.into()).raw(" AND day = DATE '").raw_date(visit.checkin);
            json.raw("' AND nights = ").raw_int(visit.nights.into());
        }
        Sql::Session => {
            json.raw("UPDATE sessions SET last_seen = now() WHERE id = '").hex(visit.seed >> 16, 12).raw("'");
        }
        Sql::Booking => {
            json.raw("INSERT INTO bookings (hotel_id, checkin, nights, total) VALUES (")
                .raw_int(hotel.id.into())
                .raw(", '");
            json.raw_date(visit.checkin).raw("', ").raw_int(visit.nights.into()).raw(", ");
            json.raw_cents(total_cents(visit, hotel)).raw(")");
        }
        Sql::Payment => {
            json.raw("INSERT INTO payments (amount, currency, status) VALUES (").raw_cents(total_cents(visit, hotel));
            json.raw(", 'EUR', ").raw_int(facts.status.into()).raw(")");
        }
    }
}
