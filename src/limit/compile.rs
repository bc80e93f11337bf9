//! From what is written to rules, each made once for the place where it stands.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use super::config::{PlanConfig, RuleConfig, Setting};
use super::failures::Failures;
use super::limits::Limits;
use super::local::Local;
use super::plans::Plans;
use super::quota::{self, Quotas};
use super::rule::{MOST_RATES, Rule, Said};
use super::shared::Shared;
use crate::auth::{Auth, ConsumersConfig};
use crate::diagnostic::{At, Diagnostics, did_you_mean};
use crate::store::Store;
use crate::units::Rate;

/// Everything that is limited by one configuration.
#[derive(Debug)]
pub struct Limiter {
    /// The rules by their places.
    pub rules: BTreeMap<Arc<str>, Arc<Rule>>,
    /// The buckets of this process.
    pub local: Arc<Local>,
    /// The buckets that it shares with others.
    pub shared: Option<Arc<Shared>>,
    /// How often credentials may fail.
    pub failures: Failures,
    /// How much consumers have used of what they bought.
    pub quotas: Option<Arc<Quotas>>,
}

impl Limiter {
    /// For how many seconds what was used of quotas could not be kept.
    #[must_use]
    pub fn quotas_unsaved(&self) -> u64 {
        self.quotas.as_ref().map_or(0, |quotas| quotas.failing_for(SystemTime::now()))
    }

    /// How often each limit and each quota said what, by their places.
    #[must_use]
    pub fn said(&self) -> Vec<(&str, [u64; Said::ALL.len()])> {
        let rules = self.rules.values().map(|rule| (&**rule.name(), rule.said()));
        let quotas = self.quotas.iter().flat_map(|quotas| quotas.rules());
        rules.chain(quotas.map(|rule| (&**rule.name(), rule.said()))).collect()
    }
}

/// A limiter in the making.
#[derive(Debug)]
pub struct Builder<'a> {
    previous: Option<&'a Limiter>,
    rules: BTreeMap<Arc<str>, Arc<Rule>>,
    plans: Arc<Plans>,
    quotas: Option<Arc<Quotas>>,
    local: Arc<Local>,
    shared: Option<Arc<Shared>>,
}

impl<'a> Builder<'a> {
    /// Begins with what goes on living from the `previous` configuration.
    #[must_use]
    pub fn new(previous: Option<&'a Limiter>) -> Self {
        let local = previous.map_or_else(Arc::default, |previous| Arc::clone(&previous.local));
        Self {
            previous,
            rules: BTreeMap::new(),
            plans: Arc::default(),
            quotas: None,
            local,
            shared: None,
        }
    }

    /// Keeps all buckets in this store.
    #[must_use]
    pub fn sharing(mut self, store: Option<Arc<Store>>) -> Self {
        let previous = self.previous.and_then(|previous| previous.shared.as_ref());
        self.shared = store.map(|store| match previous {
            Some(kept) if Arc::ptr_eq(&kept.store, &store) => Arc::clone(kept),
            _ => Arc::new(Shared::new(store)),
        });
        self
    }

    /// Reads the plans, and who has which.
    pub fn plans(
        &mut self,
        plans: &BTreeMap<String, PlanConfig>,
        consumers: &ConsumersConfig,
        auth: Option<&Auth>,
        quotas: quota::Places<'_>,
        diagnostics: &mut Diagnostics,
    ) {
        let kept = self.previous.and_then(|previous| previous.quotas.as_deref());
        self.quotas = quota::compile(plans, auth, quotas, kept, diagnostics);
        let (mut rules, mut places) = (Vec::new(), BTreeMap::new());
        for (name, plan) in plans {
            let at = At::root().key("plans").key(name).key("limits");
            if plan.limits.0.len() > MOST_RATES {
                too_many(&at, plan.limits.0.len(), diagnostics);
            }
            let mut place = 0;
            if !plan.limits.is_empty()
                && let Some(rule) =
                    self.rule(&RuleConfig::of(plan.limits.clone()), &at, diagnostics)
            {
                rules.push(rule);
                place = u16::try_from(rules.len()).unwrap_or(0);
            }
            places.insert(name.as_str(), place);
        }
        refuse_unknown(plans, consumers, auth, diagnostics);
        let mut of: Vec<u16> = Vec::new();
        for (consumer, plan) in auth.iter().flat_map(|auth| auth.buyers()) {
            if let (Some(place), Some(id)) = (places.get(plan), consumer.id()) {
                let id = id as usize;
                of.resize(of.len().max(id + 1), 0);
                of[id] = *place;
            }
        }
        self.plans = Arc::new(Plans::new(rules, of));
    }

    /// Reads the limits at one place.
    pub fn rules(
        &mut self,
        setting: &Setting,
        at: &At,
        diagnostics: &mut Diagnostics,
    ) -> Option<Box<[Arc<Rule>]>> {
        let Setting::On(written) = setting else { return Some(Box::default()) };
        if written.is_empty() {
            let help = "write a rate such as 100/min, or `limits: none`";
            diagnostics.error(at.clone(), "the list of limits is empty", help);
            return None;
        }
        let before = diagnostics.len();
        let rates = written.iter().map(|rule| rule.rate.0.len()).sum();
        if rates > MOST_RATES {
            too_many(at, rates, diagnostics);
        }
        let mut rules = Vec::with_capacity(written.len());
        for (index, rule) in written.iter().enumerate() {
            let at = at.index(index);
            if written[..index].contains(rule) {
                diagnostics.error(at, "the same limit stands here twice", "take one out");
                continue;
            }
            rules.extend(self.rule(rule, &at, diagnostics));
        }
        (diagnostics.len() == before).then(|| rules.into())
    }

    /// What holds for a route with these rules of its own, and perhaps those of its callers' plans; nothing if nobody
    /// is limited there.
    #[must_use]
    pub fn limits(&self, own: Box<[Arc<Rule>]>, has_plans: bool) -> Option<Arc<Limits>> {
        let plans = if has_plans { Arc::clone(&self.plans) } else { Arc::default() };
        let quotas = self.quotas.clone().filter(|_| has_plans);
        let shared = self.shared.clone();
        Limits::new(own, plans, quotas, Arc::clone(&self.local), shared).map(Arc::new)
    }

    /// All of it.
    #[must_use]
    pub fn finish(self, failed_credentials: Option<Rate>) -> Limiter {
        let failures = self.previous.map(|previous| &previous.failures);
        let failures = Failures::new(failed_credentials, &self.local, failures);
        let Self { rules, local, shared, quotas, .. } = self;
        Limiter { rules, local, shared, failures, quotas }
    }

    /// The rule at a place: that of the previous configuration if nothing about it changed, with all it counted.
    fn rule(
        &mut self,
        config: &RuleConfig,
        at: &At,
        diagnostics: &mut Diagnostics,
    ) -> Option<Arc<Rule>> {
        let new = Rule::compile(config, at, self.local.hasher(), diagnostics)?;
        if let Some(known) = self.rules.get(new.name()) {
            return Some(Arc::clone(known));
        }
        let kept = self.previous.and_then(|previous| previous.rules.get(new.name()));
        let kept = kept.filter(|kept| kept.is_still(&new)).cloned();
        let rule = kept.unwrap_or_else(|| Arc::new(new));
        self.rules.insert(Arc::clone(rule.name()), Arc::clone(&rule));
        Some(rule)
    }
}

/// Plans that consumers have and that are none.
fn refuse_unknown(
    plans: &BTreeMap<String, PlanConfig>,
    consumers: &ConsumersConfig,
    auth: Option<&Auth>,
    diagnostics: &mut Diagnostics,
) {
    let help = |plan: &str| did_you_mean(plan, plans.keys().map(String::as_str));
    for (name, consumer) in &consumers.0 {
        if let Some(plan) = consumer.plan.as_ref().filter(|plan| !plans.contains_key(*plan)) {
            let at = At::root().key("consumers").key(name).key("plan");
            diagnostics.error(at, format!("no plan {plan:?}"), help(plan));
        }
    }
    let in_files = auth.iter().flat_map(|auth| auth.plans_in_files());
    for (plan, at, line) in in_files.filter(|(plan, ..)| !plans.contains_key(*plan)) {
        diagnostics.error(at.clone(), format!("{line}: no plan {plan:?}"), help(plan));
    }
}

fn too_many(at: &At, rates: usize, diagnostics: &mut Diagnostics) {
    diagnostics.error(
        at.clone(),
        format!("{rates} rates are more than a request is held to"),
        format!("write at most {MOST_RATES}"),
    );
}
