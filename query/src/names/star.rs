//! `*`: lists the plain columns, not those the statement only needs on the way.

use std::collections::HashSet;

use datafusion::sql::sqlparser::{
    ast::{
        ExceptSelectItem, ExcludeSelectItem, Ident, ObjectName, Select, SelectItem, SelectItemQualifiedWildcardKind,
        Spanned, WildcardAdditionalOptions,
    },
    tokenizer::Span,
};

use super::scope::{Columns, Relation, Scope, column, quoted};

/// `experiments.*`, where `experiments` is no table but the beginning of columns: all of them.
pub(super) fn expand_prefixes(select: &mut Select, scope: &Scope<'_>) {
    let mut items = Vec::with_capacity(select.projection.len());
    for item in select.projection.drain(..) {
        let prefix = match &item {
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _)
                if !scope.relations.iter().any(|relation| is_named(relation, name)) =>
            {
                format!("{}.", parts(name).join("."))
            }
            _ => {
                items.push(item);
                continue;
            }
        };
        let tables = scope.relations.iter().filter_map(|relation| match &relation.columns {
            Columns::Table(table, _) => Some(table),
            Columns::Output(_) => None,
        });
        let names: Vec<String> =
            tables.flat_map(|table| table.listed()).filter(|name| name.starts_with(&prefix)).collect();
        if names.is_empty() {
            items.push(item);
        } else {
            let span = item.span();
            items.extend(names.iter().map(|name| SelectItem::UnnamedExpr(column(None, name, span))));
        }
    }
    select.projection = items;
}

/// Notes on each relation a `*` covers that it needs all its listed columns.
pub(super) fn mark(select: &Select, scope: &Scope<'_>) {
    for item in &select.projection {
        let covered: Vec<&Relation> = match item {
            SelectItem::Wildcard(_) => scope.relations.iter().collect(),
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                scope.relations.iter().filter(|relation| is_named(relation, name)).collect()
            }
            _ => continue,
        };
        for relation in covered {
            if let Columns::Table(_, needs) = &relation.columns {
                needs.borrow_mut().star = true;
            }
        }
    }
}

/// Excludes from each `*` what only the rest of the statement needs; done when all of it was resolved.
pub(super) fn hide(select: &mut Select, scope: &Scope<'_>) {
    let mut items = Vec::with_capacity(select.projection.len());
    for item in select.projection.drain(..) {
        match item {
            SelectItem::Wildcard(options) => {
                let plain = excluded(&options).is_empty();
                if plain && scope.relations.iter().all(|relation| unlisted(relation).is_empty()) {
                    items.push(SelectItem::Wildcard(options));
                } else {
                    items.extend(scope.relations.iter().map(|relation| star_of(relation, &options)));
                }
            }
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options) => {
                match scope.relations.iter().find(|relation| is_named(relation, &name)) {
                    Some(relation) => items.push(star_of(relation, &options)),
                    None => items.push(SelectItem::QualifiedWildcard(
                        SelectItemQualifiedWildcardKind::ObjectName(name),
                        options,
                    )),
                }
            }
            other => items.push(other),
        }
    }
    select.projection = items;
}

fn star_of(relation: &Relation, options: &WildcardAdditionalOptions) -> SelectItem {
    let span = Span::empty();
    let mut hidden = unlisted(relation);
    hidden.extend(relation.using.iter().cloned());
    let names: HashSet<String> = relation.names().into_iter().collect();
    hidden.extend(excluded(options).into_iter().filter(|name| names.contains(name)));
    let mut idents: Vec<Ident> = hidden.iter().map(|name| quoted(name, span)).collect();
    idents.sort_by(|a, b| a.value.cmp(&b.value));
    idents.dedup_by(|a, b| a.value == b.value);
    let mut options = WildcardAdditionalOptions { opt_exclude: None, opt_except: None, ..options.clone() };
    if !idents.is_empty() {
        let first_element = idents.remove(0);
        options.opt_except = Some(ExceptSelectItem { first_element, additional_elements: idents });
    }
    let name = ObjectName::from(vec![quoted(&relation.alias, span)]);
    SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options)
}

/// Needed columns `*` does not list.
fn unlisted(relation: &Relation) -> Vec<String> {
    let Columns::Table(table, needs) = &relation.columns else { return Vec::new() };
    let listed: HashSet<String> = table.listed().into_iter().collect();
    needs.borrow().columns.iter().filter(|name| !listed.contains(*name)).cloned().collect()
}

/// The names of EXCEPT and EXCLUDE.
pub(super) fn excluded(options: &WildcardAdditionalOptions) -> Vec<String> {
    let mut names = Vec::new();
    if let Some(except) = &options.opt_except {
        names.push(except.first_element.value.clone());
        names.extend(except.additional_elements.iter().map(|name| name.value.clone()));
    }
    match &options.opt_exclude {
        Some(ExcludeSelectItem::Single(name)) => names.push(parts(name).join(".")),
        Some(ExcludeSelectItem::Multiple(many)) => names.extend(many.iter().map(|name| parts(name).join("."))),
        None => {}
    }
    names
}

fn is_named(relation: &Relation, name: &ObjectName) -> bool {
    let parts = parts(name);
    parts == [relation.alias.as_str()] || parts == relation.path
}

fn parts(name: &ObjectName) -> Vec<String> {
    name.0.iter().filter_map(|part| part.as_ident()).map(|part| part.value.clone()).collect()
}
