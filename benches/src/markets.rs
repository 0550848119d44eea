//! Where the guests of the booking site live: share of all bookings, wall clock, language and money.

use chrono_tz::Tz;

/// One country the site sells to.
#[derive(Debug)]
pub struct Market {
    /// ISO 3166 code, as in the events.
    pub country: &'static str,
    /// Its wall clock: each market has its own mornings and evenings.
    pub zone: Tz,
    /// Share of all bookings over a whole week; the shares add up to 1.
    pub share: f64,
    /// ISO 4217 code of the money the guest sees.
    pub currency: &'static str,
    /// Language of the pages.
    pub language: &'static str,
    /// Cities the requests come from.
    pub cities: &'static [&'static str],
}

const fn market(
    country: &'static str,
    zone: Tz,
    share: f64,
    currency: &'static str,
    language: &'static str,
    cities: &'static [&'static str],
) -> Market {
    Market { country, zone, share, currency, language, cities }
}

/// A European site with guests overseas: two thirds of the bookings follow European clocks, so the total swings by a factor
/// of about 2.5 over a day and is at no hour too small to show an incident.
pub static MARKETS: [Market; 15] = [
    market(
        "NL",
        Tz::Europe__Amsterdam,
        0.14,
        "EUR",
        "nl-NL",
        &["Amsterdam", "Rotterdam", "Utrecht", "Eindhoven", "Groningen"],
    ),
    market(
        "DE",
        Tz::Europe__Berlin,
        0.13,
        "EUR",
        "de-DE",
        &["Berlin", "Hamburg", "Köln", "München", "Leipzig", "Bremen"],
    ),
    market("GB", Tz::Europe__London, 0.12, "GBP", "en-GB", &["London", "Manchester", "Leeds", "Bristol", "Glasgow"]),
    market("FR", Tz::Europe__Paris, 0.09, "EUR", "fr-FR", &["Paris", "Lyon", "Lille", "Nantes", "Toulouse"]),
    market("ES", Tz::Europe__Madrid, 0.06, "EUR", "es-ES", &["Madrid", "Barcelona", "Valencia", "Sevilla"]),
    market("IT", Tz::Europe__Rome, 0.06, "EUR", "it-IT", &["Milano", "Roma", "Torino", "Bologna"]),
    market("BE", Tz::Europe__Brussels, 0.03, "EUR", "nl-BE", &["Antwerpen", "Gent", "Brussel"]),
    market("PL", Tz::Europe__Warsaw, 0.03, "PLN", "pl-PL", &["Warszawa", "Kraków", "Gdańsk"]),
    market("US", Tz::America__New_York, 0.11, "USD", "en-US", &["New York", "Boston", "Atlanta", "Chicago", "Miami"]),
    market("CA", Tz::America__Toronto, 0.03, "CAD", "en-CA", &["Toronto", "Ottawa", "Montréal"]),
    market("BR", Tz::America__Sao_Paulo, 0.04, "BRL", "pt-BR", &["São Paulo", "Curitiba", "Recife"]),
    market("JP", Tz::Asia__Tokyo, 0.06, "JPY", "ja-JP", &["Tokyo", "Osaka", "Nagoya", "Sapporo"]),
    market("SG", Tz::Asia__Singapore, 0.03, "SGD", "en-SG", &["Singapore"]),
    market("IN", Tz::Asia__Kolkata, 0.03, "INR", "en-IN", &["Mumbai", "Pune", "Bengaluru", "Delhi"]),
    market("AU", Tz::Australia__Sydney, 0.04, "AUD", "en-AU", &["Sydney", "Melbourne", "Brisbane"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_to_one() {
        let total: f64 = MARKETS.iter().map(|market| market.share).sum();
        assert!((total - 1.0).abs() < 1e-9, "{total}");
    }
}
