//! Corrections to the schemas that utoipa generates, so that the clients that are generated from them
//! are simple.

use std::collections::BTreeMap;
use std::mem;

use utoipa::openapi::schema::{AllOf, Array, ArrayItems, Object, OneOf, Schema, SchemaType, Type};
use utoipa::openapi::{OpenApi, Ref, RefOr};

type Schemas = BTreeMap<String, RefOr<Schema>>;

/// Names the data of each envelope, merges flattened schemas into one object, and marks nullable
/// fields as required, because responses always contain them. Integers lose their `format`: from
/// `int64` some generators make a `bigint`, and no number here exceeds 2^53. The description of a
/// nullable reference moves to the field, where generators look for it.
pub fn simplify(schemas: &mut Schemas) {
    let mut named = Schemas::new();
    for (name, envelope) in schemas.iter_mut() {
        let content = ["One_", "List_", "OpenList_"].iter().find_map(|one| name.strip_prefix(one));
        if let (Some(name), Some(data)) = (content, data(envelope)) {
            let reference = RefOr::Ref(Ref::from_schema_name(name));
            named.insert(name.to_owned(), mem::replace(data, reference));
        }
    }
    schemas.extend(named);

    let unflattened = schemas.clone();
    for schema in schemas.values_mut() {
        if let RefOr::T(Schema::AllOf(all)) = schema {
            *schema = RefOr::T(Schema::Object(flatten(all, &unflattened)));
        }
        if let RefOr::T(Schema::Object(object)) = schema {
            require_nullable(object);
        }
        simplify_fields(schema);
    }
}

fn simplify_fields(schema: &mut RefOr<Schema>) {
    match schema {
        RefOr::T(Schema::Object(object)) => {
            let is_integer = match &object.schema_type {
                SchemaType::Type(one) => *one == Type::Integer,
                SchemaType::Array(types) => types.contains(&Type::Integer),
                SchemaType::AnyValue => false,
            };
            if is_integer {
                object.format = None;
            }
            object.properties.values_mut().for_each(simplify_fields);
        }
        RefOr::T(Schema::Array(Array { items: ArrayItems::RefOrSchema(items), .. })) => {
            simplify_fields(items);
        }
        RefOr::T(Schema::OneOf(one)) => {
            if let [RefOr::Ref(reference), RefOr::T(_)] = &mut one.items[..]
                && one.description.is_none()
                && !reference.description.is_empty()
            {
                one.description = Some(mem::take(&mut reference.description));
            }
            one.items.iter_mut().for_each(simplify_fields);
        }
        _ => {}
    }
}

/// Removes schemas without references.
pub fn prune(document: &mut OpenApi) {
    let text = document.to_json().unwrap_or_default();
    if let Some(components) = &mut document.components {
        let is_referenced = |name: &str| text.contains(&format!("\"#/components/schemas/{name}\""));
        components.schemas.retain(|name, _| is_referenced(name));
    }
}

/// Data of an envelope; for a list, one row.
fn data(envelope: &mut RefOr<Schema>) -> Option<&mut RefOr<Schema>> {
    let RefOr::T(Schema::Object(object)) = envelope else { return None };
    match object.properties.get_mut("data")? {
        RefOr::T(Schema::Array(Array { items: ArrayItems::RefOrSchema(row), .. })) => Some(row),
        one => Some(one),
    }
}

/// One object with the fields of all parts, in order.
fn flatten(all: &AllOf, schemas: &Schemas) -> Object {
    let mut flattened = Object::new();
    flattened.description.clone_from(&all.description);
    for item in &all.items {
        let schema = match item {
            RefOr::Ref(part) => {
                schemas.get(part.ref_location.rsplit('/').next().unwrap_or_default())
            }
            inline => Some(inline),
        };
        let object = match schema {
            Some(RefOr::T(Schema::Object(object))) => object.clone(),
            Some(RefOr::T(Schema::AllOf(all))) => flatten(all, schemas),
            _ => continue,
        };
        flattened.properties.extend(object.properties);
        flattened.required.extend(object.required);
    }
    flattened
}

fn require_nullable(object: &mut Object) {
    // No field of an object that Qontak defines is certain.
    if object.additional_properties.is_some() {
        return;
    }
    let Object { properties, required, .. } = object;
    let is_required = |name, schema| may_be_null(schema) || required.contains(name);
    let fields = properties.iter().filter(|(name, schema)| is_required(name, schema));
    *required = fields.map(|(name, _)| name.clone()).collect();
}

fn may_be_null(schema: &RefOr<Schema>) -> bool {
    let schema_type = match schema {
        RefOr::T(Schema::Object(object)) => &object.schema_type,
        RefOr::T(Schema::Array(array)) => &array.schema_type,
        RefOr::T(Schema::OneOf(OneOf { items, .. })) => return items.iter().any(may_be_null),
        _ => return false,
    };
    match schema_type {
        SchemaType::Type(one) => *one == Type::Null,
        SchemaType::Array(types) => types.contains(&Type::Null),
        SchemaType::AnyValue => true,
    }
}
