//! The components of a merged document: those that something refers to, and what each is called.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Entry, Targets, answers};
use crate::portal::bounds::Unique;
use crate::portal::shape::{Kind, OPERATION, SECTIONS, Shape, What, look, look_object, walk};
use crate::portal::spec::{Spec, component, component_name, to};

/// A component of one upstream: section, and name there.
type Key<'m> = (&'static str, &'m str);

/// One component of a name: whose, what, and of which kind.
type Named<'m> = (&'m Arc<str>, &'m Value, Kind);

/// The components that are in use, by upstream.
pub(super) struct Parts<'m> {
    used: BTreeMap<&'m Arc<str>, (&'m Spec, BTreeSet<Key<'m>>)>,
    /// Those that are called otherwise than in their spec.
    renamed: BTreeMap<(&'m Arc<str>, Key<'m>), String>,
}

/// Collects what the entries refer to, and what that refers to.
pub(super) fn gather<'m>(entries: &[Entry<'m>]) -> Parts<'m> {
    let mut used: BTreeMap<&Arc<str>, (&Spec, BTreeSet<Key<'_>>)> = BTreeMap::new();
    for entry in entries {
        let (spec, known) =
            used.entry(entry.upstream).or_insert_with(|| (entry.spec, BTreeSet::new()));
        let mut open = Vec::new();
        look_object(&entry.operation.value, &OPERATION, &mut |object, shape| {
            open.extend(references(object, shape));
        });
        while let Some(key) = open.pop() {
            if !known.insert(key) {
                continue;
            }
            if let Some((kind, value)) = find(spec, key) {
                look(value, kind, &mut |object, shape| open.extend(references(object, shape)));
            }
        }
    }
    let renamed = rename(&used);
    Parts { used, renamed }
}

fn find<'m>(spec: &'m Spec, (section, name): Key<'_>) -> Option<(Kind, &'m Value)> {
    Some((kind_of(section)?, spec.components.get(section)?.get(name)?))
}

fn kind_of(section: &str) -> Option<Kind> {
    let (_, shape) = SECTIONS.iter().find(|(known, _)| *known == section)?;
    Some(if shape.what == What::Schema { Kind::Schema } else { Kind::Object(shape) })
}

/// The components that an object itself refers to.
fn references<'v>(object: &'v Map<String, Value>, shape: &Shape) -> Vec<Key<'v>> {
    let key = |text: &'v Value| {
        let (section, name) = component(text.as_str()?)?;
        let (section, _) = SECTIONS.iter().find(|(known, _)| *known == section)?;
        Some((*section, name))
    };
    if shape.what == What::Discriminator {
        let mapping = object.get("mapping").and_then(Value::as_object);
        return mapping.into_iter().flat_map(Map::values).filter_map(key).collect();
    }
    object
        .get("$ref")
        .filter(|_| shape.what.section().is_some())
        .and_then(key)
        .into_iter()
        .collect()
}

/// Of two components of one name that differ, each gets its upstream's name in front. Those that are the same in
/// all upstreams, with all that they refer to, are shared.
fn rename<'m>(
    used: &BTreeMap<&'m Arc<str>, (&'m Spec, BTreeSet<Key<'m>>)>,
) -> BTreeMap<(&'m Arc<str>, Key<'m>), String> {
    let mut by_key: BTreeMap<Key<'m>, Vec<Named<'m>>> = BTreeMap::new();
    for (upstream, (spec, keys)) in used {
        for key in keys {
            if let Some((kind, value)) = find(spec, *key) {
                by_key.entry(*key).or_default().push((*upstream, value, kind));
            }
        }
    }
    let mut split: BTreeSet<Key<'m>> = by_key
        .iter()
        .filter(|(key, all)| {
            all.windows(2).any(|pair| pair[0].1 != pair[1].1)
                || answers::is_ours(key.0, key.1)
                || all.len() > 1 && has_links(all[0].1, all[0].2)
        })
        .map(|(key, _)| *key)
        .collect();
    // Whoever refers to one that is split is split too.
    let mut referrers: BTreeMap<Key<'m>, Vec<Key<'m>>> = BTreeMap::new();
    for (key, all) in by_key.iter().filter(|(_, all)| all.len() > 1) {
        let (_, value, kind) = all[0];
        look(value, kind, &mut |object, shape| {
            for to in references(object, shape) {
                referrers.entry(to).or_default().push(*key);
            }
        });
    }
    let mut open: Vec<Key<'m>> = split.iter().copied().collect();
    while let Some(key) = open.pop() {
        for referrer in referrers.get(&key).into_iter().flatten() {
            if split.insert(*referrer) {
                open.push(*referrer);
            }
        }
    }
    let mut unique: BTreeMap<&str, Unique> = BTreeMap::new();
    for (section, name) in by_key.keys().filter(|key| !split.contains(*key)) {
        unique.entry(section).or_default().keep(name);
    }
    let mut renamed = BTreeMap::new();
    for key in &split {
        for (upstream, ..) in by_key.get(key).into_iter().flatten() {
            let name = format!("{}_{}", component_name(upstream), key.1);
            let name = unique.entry(key.0).or_default().name(name);
            renamed.insert((*upstream, *key), name);
        }
    }
    renamed
}

/// Links lead to operations, which are each upstream's own.
fn has_links(value: &Value, kind: Kind) -> bool {
    let mut found = false;
    look(value, kind, &mut |_, shape| found |= shape.what == What::Link);
    found
}

impl<'m> Parts<'m> {
    /// What a component of an upstream is called in the document.
    fn name<'n>(&'n self, upstream: &'m Arc<str>, key: Key<'n>) -> &'n str {
        let renamed = self.renamed.get(&(upstream, key) as &(&Arc<str>, Key<'_>));
        renamed.map_or(key.1, String::as_str)
    }

    /// Puts the document's names into an object of an upstream.
    pub(super) fn point(
        &self,
        upstream: &'m Arc<str>,
        object: &mut Map<String, Value>,
        shape: &'static Shape,
    ) {
        let point = |text: &mut Value| {
            let Some((section, name)) = text.as_str().and_then(component) else { return };
            let Some((section, _)) = SECTIONS.iter().find(|(known, _)| *known == section) else {
                return;
            };
            *text = to(section, self.name(upstream, (section, name))).into();
        };
        if shape.what == What::Discriminator {
            let mapping = object.get_mut("mapping").and_then(Value::as_object_mut);
            mapping.into_iter().flat_map(Map::values_mut).for_each(point);
        } else if shape.what.section().is_some() {
            object.get_mut("$ref").into_iter().for_each(point);
        }
    }

    /// All components with their names in the document, sorted.
    pub(super) fn write(&self, targets: &Targets<'_, '_>) -> Map<String, Value> {
        let mut sections: BTreeMap<&str, BTreeMap<String, Value>> = BTreeMap::new();
        for (upstream, (spec, keys)) in &self.used {
            for key in keys {
                let Some((kind, value)) = find(spec, *key) else { continue };
                let name = self.name(upstream, *key).to_owned();
                let known = sections.entry(key.0).or_default();
                if known.contains_key(&name) {
                    continue;
                }
                let mut value = value.clone();
                walk(&mut value, kind, &mut |object, shape| {
                    self.point(upstream, object, shape);
                    relink(upstream, None, object, shape, targets);
                });
                known.insert(name, value);
            }
        }
        sections
            .into_iter()
            .map(|(section, entries)| {
                (section.to_owned(), Value::Object(entries.into_iter().collect()))
            })
            .collect()
    }
}

/// Leads the links of a response to the document's operations; those that lead to none are left out.
pub(super) fn relink(
    upstream: &str,
    route: Option<&Arc<str>>,
    object: &mut Map<String, Value>,
    shape: &Shape,
    targets: &Targets<'_, '_>,
) {
    if shape.what != What::Response {
        return;
    }
    let Some(links) = object.get_mut("links").and_then(Value::as_object_mut) else { return };
    links.retain(|_, link| {
        let Some(link) = link.as_object_mut() else { return false };
        let Some(entry) = targets.find(upstream, route, link) else { return false };
        lead(link, entry);
        true
    });
    if links.is_empty() {
        object.remove("links");
    }
}

fn lead(link: &mut Map<String, Value>, entry: &Entry<'_>) {
    let parameters = link.remove("parameters");
    if let Some(Value::Object(parameters)) = parameters {
        let mut new = Map::new();
        for (name, value) in parameters {
            let bare = name.strip_prefix("path.").unwrap_or(&name);
            let gone = entry.public.fixed.iter().any(|fixed| fixed == bare);
            let to = entry.renamed.iter().find(|(from, _)| from == bare).map(|(_, to)| to.clone());
            if !gone {
                new.insert(to.unwrap_or(name), value);
            }
        }
        link.insert("parameters".to_owned(), Value::Object(new));
    }
    link.remove("operationRef");
    link.remove("operationId");
    if let Some(id) = &entry.id {
        link.insert("operationId".to_owned(), id.as_str().into());
        return;
    }
    let path = entry.public.path.replace('~', "~0").replace('/', "~1");
    let path = path.replace('{', "%7B").replace('}', "%7D");
    let to = format!("#/paths/{path}/{}", entry.operation.method);
    link.insert("operationRef".to_owned(), to.into());
}
