//! The shapes of the documents: one description from which both structural validation and the JSON Schemas come.

/// A kind of document that `counterweight schema` describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentKind {
    /// `counterweight/regime/v1`.
    Regime,
    /// `counterweight/policy/v1`.
    Policy,
    /// `counterweight/audit/v1`.
    Audit,
}

/// The JSON Schema (draft 2020-12) of a document.
pub fn json_schema(kind: DocumentKind) -> serde_json::Value {
    let _ = kind;
    unimplemented!()
}
