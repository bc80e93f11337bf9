//! From what the plans say to who has which quota.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use jiff::tz::TimeZone;

use super::config::QuotasConfig;
use super::counter::Name;
use super::ledger::{Kept, Ledger};
use super::quotas::{Account, MOST, Part, Quotas, Rule};
use crate::auth::Auth;
use crate::diagnostic::{At, Diagnostics};
use crate::limit::PlanConfig;
use crate::store::Store;

/// What a plan says, with the clocks.
type Parts = Vec<(Part, TimeZone)>;

/// Where quotas are kept, as it is written.
#[derive(Debug, Clone, Copy)]
pub struct Places<'a> {
    /// The file.
    pub file: Option<&'a str>,
    /// Whether there is a store.
    pub has_store: bool,
    /// The store, if what is written of it can be read.
    pub store: Option<&'a Arc<Store>>,
}

/// Reads what the plans say of quotas. None if no plan has any, or if there is a mistake.
pub fn compile(
    plans: &BTreeMap<String, PlanConfig>,
    auth: Option<&Auth>,
    places: Places<'_>,
    previous: Option<&Quotas>,
    diagnostics: &mut Diagnostics,
) -> Option<Arc<Quotas>> {
    let before = diagnostics.len();
    let mut rules = BTreeMap::new();
    for (name, plan) in plans.iter().filter(|(_, plan)| !plan.quota.is_empty()) {
        let at = At::root().key("plans").key(name).key("quota");
        if places.file.is_none() && !places.has_store {
            diagnostics.error(
                at.clone(),
                "a quota outlives the process, and nothing says where it is kept",
                "write `quota_file: /var/lib/portcullis/quotas.redb` at the top level, or a `store` if several gateways \
                 share it",
            );
        }
        let parts = parts(&plan.quota, &at, diagnostics);
        rules.insert(name.as_str(), (at.to_string(), parts));
    }
    check(places, diagnostics);
    if diagnostics.len() > before {
        return None;
    }
    let place = places.store.map(Kept::Store);
    let place = place.or_else(|| Some(Kept::File(Path::new(places.file?))))?;
    let kept = previous.map(|previous| &previous.ledger).filter(|ledger| ledger.is_at(place));
    let ledger = kept.map_or_else(|| Arc::new(Ledger::at(place)), Arc::clone);
    let rules: BTreeMap<&str, (Arc<Rule>, Parts)> = rules
        .into_iter()
        .map(|(plan, (name, parts))| (plan, (rule(name, &parts, previous), parts)))
        .collect();
    let mut accounts: Vec<Option<Account>> = Vec::new();
    for (consumer, plan) in auth.iter().flat_map(|auth| auth.buyers()) {
        let (Some((rule, parts)), Some(id)) = (rules.get(plan), consumer.id()) else { continue };
        let (id, name) = (id as usize, consumer.name());
        let counter = |(part, zone): &(Part, TimeZone)| {
            let consumer = name.to_owned();
            let (calendar, zone_name) = (part.quota.calendar(), part.zone.clone());
            ledger.counter(Name { consumer, calendar, zone: zone_name }, zone)
        };
        let counters = parts.iter().map(counter).collect();
        accounts.resize_with(accounts.len().max(id + 1), || None);
        accounts[id] = Some(Account { rule: Arc::clone(rule), counters });
    }
    let rules = rules.into_values().map(|(rule, _)| (Arc::clone(rule.name()), rule)).collect();
    Some(Arc::new(Quotas { ledger, rules, accounts: accounts.into() }))
}

/// There is one place, and it can be found again.
fn check(places: Places<'_>, diagnostics: &mut Diagnostics) {
    let Some(file) = places.file else { return };
    let at = At::root().key("quota_file");
    if places.has_store {
        diagnostics.error(
            at,
            "with a `store`, quotas are kept there, by all gateways together",
            "take `quota_file` out",
        );
    } else if !Path::new(file).is_absolute() {
        diagnostics.error(
            at,
            format!("{file} depends on where the gateway is started"),
            "write it from the root, such as /var/lib/portcullis/quotas.redb",
        );
    }
}

/// The rule of a plan: that of the previous configuration if it says the same, with all it counted.
fn rule(name: String, parts: &[(Part, TimeZone)], previous: Option<&Quotas>) -> Arc<Rule> {
    let parts: Vec<Part> = parts.iter().map(|(part, _)| part.clone()).collect();
    let kept = previous.and_then(|previous| previous.rules.get(&*name));
    let kept = kept.filter(|kept| kept.parts() == parts).map(Arc::clone);
    kept.unwrap_or_else(|| Arc::new(Rule::new(name, parts)))
}

/// What is counted, in the order in which it is for everybody.
fn parts(written: &QuotasConfig, at: &At, diagnostics: &mut Diagnostics) -> Parts {
    if written.0.len() > MOST {
        diagnostics.error(
            at.clone(),
            format!("{} quotas are more than a plan has", written.0.len()),
            format!("write at most {MOST}"),
        );
    }
    let mut parts = Parts::new();
    for (index, config) in written.0.iter().enumerate() {
        let at = if written.0.len() == 1 { at.clone() } else { at.index(index) };
        let Ok(zone) = TimeZone::get(&config.timezone) else {
            diagnostics.error(
                at.key("timezone"),
                format!("no time zone is called {:?}", config.timezone),
                "write its IANA name, such as Europe/Zurich, or leave it out for UTC",
            );
            continue;
        };
        let part = Part::new(config.rate, &config.timezone, config.observe);
        let same = |(other, _): &(Part, TimeZone)| {
            other.quota.calendar() == part.quota.calendar() && other.zone == part.zone
        };
        if parts.iter().any(same) {
            let word = part.quota.calendar().word();
            diagnostics.error(
                at,
                format!("there is another quota per {word} already"),
                "the smaller one is what holds; take the other out",
            );
            continue;
        }
        parts.push((part, zone));
    }
    parts.sort_by(|(a, _), (b, _)| {
        (a.quota.calendar(), &a.zone).cmp(&(b.quota.calendar(), &b.zone))
    });
    parts
}
