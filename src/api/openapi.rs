//! The OpenAPI 3.1 description of the API: `GET /api/openapi.json`, `callburner openapi`. It is
//! generated from the routes, so that it includes every one of them; Twilio documents the webhooks.

use std::sync::LazyLock;

use axum::http::header;
use axum::response::IntoResponse;
use utoipa::OpenApi as _;
use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{
    Components, Content, InfoBuilder, OpenApi, PathItem, Ref, RefOr, Response, ResponseBuilder, Tag,
};

use super::error::ErrorResponse;
use super::{health, live, metrics};
use crate::ids::{CallSid, RecordingSid};
use crate::transcript::CallEvent;

/// The description of the API for client authors.
const DESCRIPTION: &str = "\
A self-hosted softphone on Twilio that transcribes both sides of every call, live.

Browsers sign in (`POST /api/session`) and send the cookie; other programs send an API token \
(`POST /api/tokens`). Requests that change something with a cookie must come from a page of this \
server. On a server without users that accepts only clients on its own machine, the key of the \
printed link replaces both: as the cookie of `POST /api/session/open`, or as the token.

Every failure has the body `Error`. Its `code` is stable, its `message` says what to do, and its \
`requestId` is in the server's log.";

/// The groups of operations.
const TAGS: [(&str, &str); 6] = [
    ("phone", "A browser as a telephone at Twilio."),
    ("calls", "Calls: list, transcript, audio, notes, deletion."),
    ("recording", "Twilio's recordings of calls."),
    (
        "live",
        "Transcripts and call states, live: a WebSocket that carries `CallEvent`s.",
    ),
    (
        "people",
        "Access: sessions, second factors, users, API tokens.",
    ),
    (
        "operators",
        "Operation: health, metrics, settings, the log.",
    ),
];

/// The operations that are not on a [`utoipa_axum`] router.
#[derive(utoipa::OpenApi)]
#[openapi(
    paths(live::listen, health::read_liveness, health::read_readiness, metrics::read_metrics, read_openapi),
    components(schemas(CallEvent, live::ListenerRequest, live::ListenerReply<'static>, ErrorResponse<'static>))
)]
struct UnroutedPaths;

/// The document, generated once.
static OPENAPI_JSON: LazyLock<String> = LazyLock::new(|| {
    let json = build_openapi().to_pretty_json();
    json.expect("the document serialises to JSON") + "\n"
});

/// Returns the description as JSON.
pub(crate) fn openapi_json() -> &'static str {
    &OPENAPI_JSON
}

/// Get this document: OpenAPI 3.1.
#[utoipa::path(get, path = "/api/openapi.json", tag = "operators", security(()), responses(
    (status = 200, content_type = "application/json", body = Object),
))]
pub(super) async fn read_openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], openapi_json())
}

fn build_openapi() -> OpenApi {
    let mut openapi = UnroutedPaths::openapi();
    openapi.merge(super::client_routes().into_openapi());
    openapi.info = InfoBuilder::new()
        .title("CallBurner")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(DESCRIPTION))
        .build();
    let tags = TAGS.map(|(name, description)| {
        let mut tag = Tag::new(name);
        tag.description = Some(description.to_owned());
        tag
    });
    openapi.tags = Some(tags.to_vec());
    let nothing: [&str; 0] = [];
    openapi.security = Some(vec![
        SecurityRequirement::new("session", nothing),
        SecurityRequirement::new("token", nothing),
    ]);
    let components = openapi.components.get_or_insert_default();
    add_security_schemes(components);
    let error = error_response("The error, and what to do.");
    components
        .responses
        .insert("Error".to_owned(), RefOr::T(error));
    for (path, item) in &mut openapi.paths.paths {
        for (method, operation) in operations(item) {
            complete_operation(operation, method, path);
        }
    }
    openapi
}

fn add_security_schemes(components: &mut Components) {
    let cookie = ApiKeyValue::with_description(
        "__Host-callburner",
        "Set by `POST /api/session`; named `callburner` if the server is reached without TLS.",
    );
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some(
            "An API token, `cb_…`: it has the rights of its user, limited to its scopes.",
        ))
        .build();
    components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
    components.add_security_scheme("token", SecurityScheme::Http(bearer));
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let all = [
        ("get", &mut item.get),
        ("put", &mut item.put),
        ("post", &mut item.post),
        ("patch", &mut item.patch),
        ("delete", &mut item.delete),
    ];
    all.into_iter()
        .filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// Adds the id, the parameters' schemas and the error responses that all operations share.
fn complete_operation(operation: &mut Operation, method: &str, path: &str) {
    operation.operation_id = Some(operation_id(method, path));
    let parameters = operation.parameters.iter_mut().flatten();
    let mut takes_input = operation.request_body.is_some();
    for parameter in parameters {
        takes_input = true;
        if let RefOr::T(parameter) = parameter
            && parameter.name == "sid"
        {
            parameter.schema = Some(sid_schema(path));
        }
    }
    let responses = &mut operation.responses.responses;
    if operation.security.is_none() {
        let stranger = error_response("`sign_in_required`");
        responses
            .entry("401".to_owned())
            .or_insert(RefOr::T(stranger));
        if method != "get" {
            let fast = error_response("`too_many_requests`: Retry-After says how long to wait");
            responses.entry("429".to_owned()).or_insert(RefOr::T(fast));
        }
    }
    if takes_input {
        let unreadable = error_response("`bad_request`: a parameter or the body is malformed");
        let known = responses.entry("400".to_owned());
        known.or_insert(RefOr::T(unreadable));
    }
    for (status, response) in responses.iter_mut() {
        if let RefOr::T(response) = response
            && status.starts_with(['4', '5'])
            && response.content.is_empty()
        {
            *response = error_response(&response.description);
        }
    }
    let error = RefOr::Ref(Ref::from_response_name("Error"));
    responses.insert("default".to_owned(), error);
}

/// Returns the schema of a SID in this path.
fn sid_schema(path: &str) -> RefOr<Schema> {
    let is_recording = path.starts_with("/api/recordings");
    let pattern = if is_recording {
        RecordingSid::PATTERN
    } else {
        CallSid::PATTERN
    };
    let text = ObjectBuilder::new().schema_type(Type::String);
    text.pattern(Some(pattern)).into()
}

/// Derives the id from method and path: `postCallsBySidHangup` for `POST /api/calls/{sid}/hangup`.
/// The handlers' own names are unique only within their modules.
fn operation_id(method: &str, path: &str) -> String {
    let mut id = method.to_owned();
    let path = path.strip_prefix("/api").unwrap_or(path);
    for part in path
        .split(['/', '.', '_', '-'])
        .filter(|part| !part.is_empty())
    {
        let name = part.trim_matches(['{', '}']);
        if name != part {
            id.push_str("By");
        }
        let (first, rest) = name.split_at(1);
        id.push_str(&first.to_uppercase());
        id.push_str(rest);
    }
    id
}

/// Builds an error response with the body `Error`.
fn error_response(description: &str) -> Response {
    let error = Content::new(Some(Ref::from_schema_name("Error")));
    ResponseBuilder::new()
        .description(description)
        .content("application/json", error)
        .build()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use serde_json::Value;

    use super::*;

    fn document() -> Value {
        serde_json::from_str(openapi_json()).unwrap()
    }

    /// Returns every operation, named as `GET /path`.
    fn operations(document: &Value) -> Vec<(String, &Value)> {
        let mut operations = Vec::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                operations.push((format!("{} {path}", method.to_uppercase()), operation));
            }
        }
        operations
    }

    /// Calls `see` with each object of the document.
    fn walk<'a>(value: &'a Value, see: &mut impl FnMut(&'a serde_json::Map<String, Value>)) {
        match value {
            Value::Object(object) => {
                see(object);
                object.values().for_each(|value| walk(value, see));
            }
            Value::Array(list) => list.iter().for_each(|value| walk(value, see)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn drift_of_the_contract_is_seen_in_review() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/openapi.json");
        if std::env::var_os("UPDATE_FIXTURES").is_some() {
            fs::write(&path, openapi_json()).unwrap();
        }
        let kept = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            kept == openapi_json(),
            "fixtures/openapi.json is not the contract any more; if the change is meant, write it \
             anew with UPDATE_FIXTURES=1 cargo test --lib openapi"
        );
    }

    #[test]
    fn the_document_is_openapi_of_a_version_that_tools_read() {
        let document = document();
        assert_eq!(document["openapi"], "3.1.0");
        assert_eq!(document["info"]["title"], "CallBurner");
        assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
        assert!(document["info"].get("license").is_none());
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = document();
        let mut references = BTreeSet::new();
        walk(&document, &mut |object| {
            references.extend(object.get("$ref").and_then(Value::as_str));
        });
        assert!(
            references.contains("#/components/schemas/Segment"),
            "{references:?}"
        );
        for reference in references {
            let found = document.pointer(reference.strip_prefix('#').unwrap());
            assert!(found.is_some_and(Value::is_object), "{reference}");
        }
    }

    #[test]
    fn every_operation_has_a_name_of_its_own_a_word_about_it_and_a_group() {
        let document = document();
        let tags = document["tags"].as_array().unwrap();
        let tags: Vec<&Value> = tags.iter().map(|tag| &tag["name"]).collect();
        let mut names = BTreeSet::new();
        for (place, operation) in operations(&document) {
            let name = operation["operationId"].as_str().expect(&place);
            assert!(names.insert(name), "{place}: a second {name}");
            assert!(operation["summary"].is_string(), "{place}");
            assert!(tags.contains(&&operation["tags"][0]), "{place}");
        }
        assert!(names.contains("postCallsBySidHangup"), "{names:?}");
        assert!(names.contains("getWsTranscriptions"), "{names:?}");
    }

    #[test]
    fn every_parameter_of_a_path_is_explained_and_no_other() {
        let document = document();
        for (place, operation) in operations(&document) {
            let declared = operation["parameters"].as_array().into_iter().flatten();
            let declared: BTreeSet<&str> = declared
                .filter(|parameter| parameter["in"] == "path")
                .map(|parameter| parameter["name"].as_str().unwrap())
                .collect();
            let inner = place
                .split('{')
                .skip(1)
                .map(|rest| rest.split('}').next().unwrap());
            assert_eq!(declared, inner.collect(), "{place}");
        }
    }

    #[test]
    fn what_is_refused_is_declared_with_its_bounds() {
        let document = document();
        for (place, operation) in operations(&document) {
            let parameters = operation["parameters"].as_array();
            let takes_input = parameters.is_some() || operation["requestBody"].is_object();
            let is_declared = operation["responses"]["400"].is_object();
            assert_eq!(is_declared, takes_input, "{place}");
            for parameter in parameters.into_iter().flatten() {
                let schema = &parameter["schema"];
                match parameter["name"].as_str().unwrap() {
                    "sid" => assert!(schema["pattern"].is_string(), "{place}: {schema}"),
                    "limit" => assert!(schema["maximum"].is_number(), "{place}: {schema}"),
                    _ => {}
                }
            }
        }
        let schemas = &document["components"]["schemas"];
        for name in ["NewUser", "NewToken", "SetUp"] {
            assert_eq!(
                schemas[name]["properties"]["name"]["minLength"], 1,
                "{name}"
            );
        }
        let sid = &schemas["CallSid"]["pattern"];
        assert_eq!(sid, "^CA[0-9a-fA-F]{32}$", "{}", schemas["CallSid"]);
    }

    #[test]
    fn every_failure_has_the_one_shape() {
        let document = document();
        let error = "#/components/schemas/Error";
        // Public operations that reject wrong credentials.
        let with_401 = [
            "POST /api/session",
            "POST /api/session/factor",
            "POST /api/session/passkey",
        ];
        let shape = &document["components"]["schemas"]["Error"]["properties"]["error"];
        assert!(shape.is_object());
        for (place, operation) in operations(&document) {
            let responses = operation["responses"].as_object().unwrap();
            assert_eq!(
                responses["default"]["$ref"], "#/components/responses/Error",
                "{place}"
            );
            let accepts_page_key = operation["security"] == serde_json::json!([{}]);
            assert_eq!(
                responses.contains_key("401"),
                !accepts_page_key || with_401.contains(&place.as_str())
            );
            for (status, response) in responses {
                // `/readyz` has a body of its own for 503.
                if status.starts_with(['4', '5']) && place != "GET /readyz" {
                    let schema = &response["content"]["application/json"]["schema"]["$ref"];
                    assert_eq!(schema, error, "{place} {status}");
                }
            }
        }
    }

    #[test]
    fn names_are_in_camel_case_and_words_are_for_readers_of_json() {
        let document = document();
        walk(&document, &mut |object| {
            let properties = object.get("properties").and_then(Value::as_object);
            for name in properties
                .into_iter()
                .flat_map(|properties| properties.keys())
            {
                assert!(!name.contains('_'), "{name}");
            }
            let description = object.get("description").and_then(Value::as_str);
            assert!(
                !description.is_some_and(|text| text.contains("](crate")),
                "{description:?}"
            );
        });
    }

    #[test]
    fn both_ways_in_are_named() {
        let document = document();
        let schemes = &document["components"]["securitySchemes"];
        assert_eq!(schemes["session"]["in"], "cookie");
        assert_eq!(schemes["token"]["scheme"], "bearer");
        for way in document["security"].as_array().unwrap() {
            let (name, _) = way.as_object().unwrap().iter().next().unwrap();
            assert!(schemes.get(name).is_some(), "{name}");
        }
    }

    #[test]
    fn what_the_channel_carries_is_described() {
        let document = document();
        let schemas = document["components"]["schemas"].as_object().unwrap();
        for name in [
            "CallEvent",
            "Event",
            "Segment",
            "Partial",
            "ListenerRequest",
            "ListenerReply",
        ] {
            assert!(schemas.contains_key(name), "{name}");
        }
        let mut kinds = BTreeSet::new();
        walk(&schemas["Event"], &mut |object| {
            kinds.extend(object.get("enum").and_then(|kinds| kinds[0].as_str()));
        });
        for kind in [
            "snapshot",
            "partial",
            "segment",
            "call",
            "recording",
            "engine",
            "ended",
        ] {
            assert!(kinds.contains(kind), "{kind} is not among {kinds:?}");
        }
    }
}
