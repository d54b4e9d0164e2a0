//! HTTP as Twilio uses it: form requests, JSON responses, errors, paged lists, ranges of audio.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use reqwest::Url;
use serde_json::{Value, json};

use super::ACCOUNT;

/// A parsed request.
pub(super) struct ApiRequest {
    pub(super) method: Method,
    /// The path after the account, decoded, without the file type.
    pub(super) path: Vec<String>,
    pub(super) file_type: String,
    pub(super) query: FormFields,
    pub(super) form: FormFields,
    pub(super) range: Option<String>,
}

/// Decoded fields of a form or a query.
#[derive(Default, Clone)]
pub(super) struct FormFields(pub(super) Vec<(String, String)>);

impl FormFields {
    pub(super) fn get(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(field, _)| field == name);
        found.map_or("", |(_, value)| value)
    }

    /// Refuses an unknown field and a missing required field.
    pub(super) fn check(&self, needed: &[&str], known: &[&str]) -> Result<(), ApiRejection> {
        for (name, _) in &self.0 {
            if !needed.contains(&name.as_str()) && !known.contains(&name.as_str()) {
                return Err(no(400, 20_001, &format!("{name} is not a field of this")));
            }
        }
        for name in needed {
            if self.get(name).is_empty() {
                return Err(no(400, 20_001, &format!("{name} is missing")));
            }
        }
        Ok(())
    }
}

/// Twilio's refusal.
pub(super) struct ApiRejection {
    status: u16,
    code: u32,
    message: String,
}

/// Twilio's response.
pub(super) type ApiResult = Result<Response, ApiRejection>;

impl IntoResponse for ApiRejection {
    fn into_response(self) -> Response {
        let Self {
            status,
            code,
            message,
        } = self;
        let more_info = format!("https://www.twilio.com/docs/errors/{code}");
        yes(
            status,
            &json!({ "code": code, "message": message, "more_info": more_info, "status": status }),
        )
    }
}

pub(super) fn no(status: u16, code: u32, message: &str) -> ApiRejection {
    ApiRejection {
        status,
        code,
        message: message.to_owned(),
    }
}

impl ApiRequest {
    pub(super) fn read(
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        body: &str,
    ) -> Result<Self, ApiRejection> {
        let url = Url::parse(&format!("http://twilio{uri}")).unwrap();
        let of_account = format!("/2010-04-01/Accounts/{ACCOUNT}");
        let rest = url.path().strip_prefix(&of_account);
        let (rest, file_type) = rest
            .and_then(|rest| rest.rsplit_once('.'))
            .ok_or_else(|| gone(url.path()))?;
        let decode = |part: &str| part.replace("%20", " ").replace("%2F", "/");
        let path = rest.split('/').skip(1).map(decode).collect();
        let is_form = headers
            .get(header::CONTENT_TYPE)
            .is_some_and(|value| value == "application/x-www-form-urlencoded");
        if *method == Method::POST && !is_form {
            return Err(no(415, 20_415, "Unsupported media type"));
        }
        let range = headers
            .get(header::RANGE)
            .map(|v| v.to_str().unwrap().to_owned());
        Ok(Self {
            method: method.clone(),
            path,
            file_type: file_type.to_owned(),
            query: decoded(url.query().unwrap_or_default()),
            form: decoded(body),
            range,
        })
    }
}

/// Returns a recording's audio, or the requested range of it.
pub(super) fn media(media: &Bytes, request: &ApiRequest) -> Response {
    let kind = if request.file_type == "mp3" {
        "audio/mpeg"
    } else {
        "audio/x-wav"
    };
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::ACCEPT_RANGES, "bytes"),
    ];
    let Some(range) = &request.range else {
        return (headers, media.clone()).into_response();
    };
    let (from, to) = range
        .strip_prefix("bytes=")
        .unwrap()
        .split_once('-')
        .unwrap();
    let from: usize = from.parse().unwrap();
    let to = to
        .parse()
        .map_or(media.len(), |last: usize| media.len().min(last + 1));
    if from >= to {
        let all = format!("bytes */{}", media.len());
        return (
            StatusCode::RANGE_NOT_SATISFIABLE,
            [(header::CONTENT_RANGE, all)],
        )
            .into_response();
    }
    let part = format!("bytes {from}-{}/{}", to - 1, media.len());
    let part = [(header::CONTENT_RANGE, part)];
    (
        StatusCode::PARTIAL_CONTENT,
        headers,
        part,
        media.slice(from..to),
    )
        .into_response()
}

/// Returns one page of a list, with one item, in Twilio's paging by `Page`.
pub(super) fn page(request: &ApiRequest, name: &str, all: Vec<Value>) -> Response {
    let at: usize = request.query.get("Page").parse().unwrap_or_default();
    let mut query = request.query.clone();
    query.0.retain(|(name, _)| name != "Page");
    query.0.push(("Page".to_owned(), (at + 1).to_string()));
    let path = format!(
        "/2010-04-01/Accounts/{ACCOUNT}/{}.json",
        request.path.join("/")
    );
    let next = (at + 1 < all.len()).then(|| format!("{path}?{}", encoded(&query.0)));
    let items: Vec<Value> = all.into_iter().skip(at).take(1).collect();
    yes(
        200,
        &json!({ name: items, "page": at, "page_size": 1, "next_page_uri": next }),
    )
}

pub(super) fn resource(sid: &str, fields: &BTreeMap<String, String>) -> Value {
    let mut all = json!({ "account_sid": ACCOUNT, "sid": sid, "voice_fallback_url": null });
    for (name, value) in fields {
        all[name] = Value::from(value.clone());
    }
    all
}

pub(super) fn yes(status: u16, body: &Value) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    (
        status,
        [(header::CONTENT_TYPE, "application/json")],
        body.to_string(),
    )
        .into_response()
}

pub(super) fn gone(what: &str) -> ApiRejection {
    no(
        404,
        20_404,
        &format!("The requested resource /{what} was not found"),
    )
}

pub(super) fn decoded(text: &str) -> FormFields {
    let url = Url::parse(&format!("http://form/?{text}")).unwrap();
    FormFields(url.query_pairs().into_owned().collect())
}

/// Encodes a form as Twilio does: a space is `%20`.
pub(super) fn encoded(form: &[(String, String)]) -> String {
    let url = Url::parse_with_params("http://form/", form).unwrap();
    url.query().unwrap_or_default().replace('+', "%20")
}
