//! The experiments and config keys of the site.

use super::Service;

/// An experiment of the site.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Experiment {
    pub(crate) id: u32,
    pub(super) title: &'static str,
    pub(super) owner: &'static str,
    /// Share of variant B when the story begins.
    pub(super) share: f64,
    /// Section of code it guards, as in the probes.
    pub(crate) section: &'static str,
}

const fn experiment(
    id: u32,
    title: &'static str,
    owner: &'static str,
    share: f64,
    section: &'static str,
) -> Experiment {
    Experiment { id, title, owner, share, section }
}

/// The experiments that the lighter profile shows.
pub(crate) static EXPERIMENTS: [Experiment; 10] = [
    experiment(7, "rank by review score", "search-team", 0.5, "search.rank"),
    experiment(9, "map beside results", "search-team", 0.2, "search.map"),
    experiment(11, "taxes in the price", "pricing-team", 0.5, "hotel.price"),
    experiment(12, "larger photos", "hotel-team", 0.5, "hotel.photos"),
    experiment(13, "one-step checkout", "checkout-team", 0.0, "checkout.pay"),
    experiment(14, "breakfast badge", "hotel-team", 0.1, "hotel.badges"),
    experiment(16, "sticky dates", "search-team", 0.05, "search.form"),
    experiment(18, "guest reviews first", "hotel-team", 0.1, "hotel.reviews"),
    experiment(21, "two-level rate cache", "pricing-team", 0.2, "hotel.rates"),
    experiment(22, "voucher field folded", "checkout-team", 0.5, "checkout.form"),
];

pub(super) fn catalogue_entry(id: u32) -> &'static Experiment {
    static UNKNOWN: Experiment = experiment(0, "unnamed", "product-team", 0.5, "page");
    EXPERIMENTS.iter().find(|experiment| experiment.id == id).unwrap_or(&UNKNOWN)
}

/// A config key and the values it moves between.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting {
    pub(super) key: &'static str,
    pub(super) service: Service,
    pub(super) owner: &'static str,
    pub(super) from: &'static str,
    pub(super) to: &'static str,
}
