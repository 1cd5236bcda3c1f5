//! The cluster's own services and those imported from others, which are kept apart: a name is the one or the other.

use super::Model;
use crate::cluster::{Key, Kind, Object, Sink};

/// One model for each.
pub(in crate::plugins::kubernetes) struct Models {
    pub(in crate::plugins::kubernetes) own: Model,
    /// ServiceImports as services, their slices as slices; where they are followed.
    pub(in crate::plugins::kubernetes) imports: Option<Model>,
}

impl Models {
    /// The models that a kind is told to.
    fn of(&self, kind: Kind) -> impl Iterator<Item = &Model> {
        let own = !matches!(kind, Kind::ServiceImport | Kind::ImportedSlice);
        let imported = !matches!(kind, Kind::Service | Kind::EndpointSlice | Kind::Pod);
        Some(&self.own).filter(|_| own).into_iter().chain(self.imports.as_ref().filter(|_| imported))
    }

    /// Calls with every object that is known, as [`Model::each_object`].
    pub(in crate::plugins::kubernetes) fn each_object(&self, mut visit: impl FnMut(Object)) {
        self.own.each_object(&mut visit);
        let Some(imports) = &self.imports else { return };
        imports.each_object(|object| match object {
            Object::Service(import) => visit(Object::ServiceImport(import)),
            Object::EndpointSlice(slice) => visit(Object::ImportedSlice(slice)),
            // Both have the namespaces.
            _ => {}
        });
    }
}

impl Sink for Models {
    fn list_begins(&self, kind: Kind) {
        self.of(kind).for_each(|model| model.list_begins(kind));
    }

    fn apply(&self, object: Object) {
        match (object, &self.imports) {
            (Object::Namespace(key), Some(imports)) => {
                imports.apply(Object::Namespace(key.clone()));
                self.own.apply(Object::Namespace(key));
            }
            (Object::ServiceImport(mut import), Some(imports)) => {
                // An import without ports has no names (CoreDNS).
                if !import.headless && import.ports.is_empty() {
                    import.external_name = Some(".".to_owned());
                }
                imports.apply(Object::ServiceImport(import));
            }
            (slice @ Object::ImportedSlice(_), Some(imports)) => imports.apply(slice),
            (Object::ServiceImport(_) | Object::ImportedSlice(_), None) => {}
            (object, _) => self.own.apply(object),
        }
    }

    fn delete(&self, kind: Kind, key: &Key) {
        self.of(kind).for_each(|model| model.delete(kind, key));
    }

    fn list_breaks(&self, kind: Kind) {
        self.of(kind).for_each(|model| model.list_breaks(kind));
    }

    fn list_ends(&self, kind: Kind) {
        self.of(kind).for_each(|model| model.list_ends(kind));
    }
}
