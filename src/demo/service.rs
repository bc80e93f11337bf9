//! How a service answers: who may call, where to, and what is done there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Incoming};
use serde_json::{Map, Value, json};

use super::openapi;
use super::shape::Kind;

/// The most that a request's body may have, in bytes.
const BODY_LIMIT: usize = 1 << 20;

/// A service: its kind, its data, and the secret that its callers must bring.
#[derive(Clone)]
pub struct Service {
    kind: Kind,
    secret: Arc<str>,
    data: Arc<Mutex<Data>>,
}

struct Data {
    things: BTreeMap<u64, Map<String, Value>>,
    next: u64,
}

/// What is done to the things.
enum Place {
    All,
    One(u64),
    Health,
    OpenApi,
}

/// One instance of a service.
pub(super) struct Instance {
    service: Service,
    name: String,
}

impl Service {
    /// A service with its data as in the beginning, for callers that send `secret` as `x-api-key`.
    #[must_use]
    pub fn new(kind: Kind, secret: &str) -> Self {
        let things: BTreeMap<_, _> = (1..)
            .zip(kind.seed())
            .filter_map(|(id, thing)| Some((id, thing.as_object()?.clone())))
            .collect();
        let next = things.keys().last().map_or(1, |last| last + 1);
        Self { kind, secret: secret.into(), data: Arc::new(Mutex::new(Data { things, next })) }
    }

    pub(super) fn instance(&self, name: &str) -> Instance {
        Instance { service: self.clone(), name: name.to_owned() }
    }

    fn data(&self) -> MutexGuard<'_, Data> {
        self.data.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Compares all bytes whatever the first ones are, so that the time taken tells nothing of them.
    fn admits(&self, headers: &HeaderMap) -> bool {
        let Some(given) = headers.get("x-api-key").map(HeaderValue::as_bytes) else { return false };
        let wanted = self.secret.as_bytes();
        let differences = given.iter().zip(wanted).fold(0, |all, (a, b)| all | (a ^ b));
        given.len() == wanted.len() && differences == 0
    }

    /// What stands at a path; `None` means nothing.
    fn place(&self, path: &str) -> Option<Place> {
        match path {
            "/health" => return Some(Place::Health),
            "/openapi.json" => return Some(Place::OpenApi),
            _ => {}
        }
        match path.strip_prefix(self.kind.base())? {
            "" | "/" => Some(Place::All),
            rest => rest.strip_prefix('/')?.parse().ok().map(Place::One),
        }
    }
}

/// An answer on its way to be JSON.
struct Answer {
    status: StatusCode,
    body: Option<Value>,
    header: Option<(HeaderName, String)>,
}

impl Answer {
    fn of(status: StatusCode, body: Value) -> Self {
        Self { status, body: Some(body), header: None }
    }

    fn error(status: StatusCode, detail: impl Into<Value>) -> Self {
        Self::of(status, json!({ "detail": detail.into() }))
    }

    fn not_allowed(allow: &str) -> Self {
        let answer = Self::error(StatusCode::METHOD_NOT_ALLOWED, "this method is of no use here");
        Self { header: Some((ALLOW, allow.to_owned())), ..answer }
    }
}

impl Instance {
    /// The answer to a request.
    pub(super) async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let answer = if self.service.admits(request.headers()) {
            self.act(request).await
        } else {
            Answer::error(StatusCode::FORBIDDEN, "only the gateway may call this service")
        };
        self.put_into_words(answer)
    }

    async fn act(&self, request: Request<Incoming>) -> Answer {
        let (head, body) = request.into_parts();
        let Some(place) = self.service.place(head.uri.path()) else {
            return Answer::error(StatusCode::NOT_FOUND, "there is nothing at this path");
        };
        let reads = head.method == Method::GET || head.method == Method::HEAD;
        match place {
            Place::Health if reads => Answer::of(StatusCode::OK, json!({ "status": "ok" })),
            Place::OpenApi if reads => {
                Answer::of(StatusCode::OK, openapi::document(self.service.kind))
            }
            Place::Health | Place::OpenApi => Answer::not_allowed("GET, HEAD"),
            Place::All if reads => self.list(),
            Place::All if head.method == Method::POST => match self.read(body).await {
                Ok(fields) => self.create(fields),
                Err(refusal) => refusal,
            },
            Place::All => Answer::not_allowed("GET, HEAD, POST"),
            Place::One(id) if reads => self.show(id, &head.headers),
            Place::One(id) if head.method == Method::PUT => match self.read(body).await {
                Ok(fields) => self.replace(id, fields),
                Err(refusal) => refusal,
            },
            Place::One(id) if head.method == Method::DELETE => self.delete(id),
            Place::One(_) => Answer::not_allowed("GET, HEAD, PUT, DELETE"),
        }
    }

    /// The fields in a request's body.
    async fn read<B>(&self, body: B) -> Result<Map<String, Value>, Answer>
    where
        B: Body,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let bytes = Limited::new(body, BODY_LIMIT)
            .collect()
            .await
            .map_err(|_| {
                Answer::error(StatusCode::PAYLOAD_TOO_LARGE, "the body has more than 1 MiB")
            })?
            .to_bytes();
        let unprocessable = |detail| Answer::error(StatusCode::UNPROCESSABLE_ENTITY, detail);
        let value: Value = serde_json::from_slice(&bytes)
            .map_err(|_| unprocessable(Value::from("the body is not JSON")))?;
        self.service.kind.parse(&value).map_err(|wrong| unprocessable(Value::from(wrong)))
    }

    fn list(&self) -> Answer {
        let data = self.service.data();
        let all: Vec<Value> = data.things.iter().map(|(id, thing)| with_id(*id, thing)).collect();
        Answer::of(StatusCode::OK, json!({ self.service.kind.many(): all }))
    }

    fn show(&self, id: u64, headers: &HeaderMap) -> Answer {
        let data = self.service.data();
        let Some(thing) = data.things.get(&id) else { return self.missing(id) };
        let mut body = with_id(id, thing);
        body["seen"] = seen(headers);
        Answer::of(StatusCode::OK, body)
    }

    fn create(&self, fields: Map<String, Value>) -> Answer {
        let mut data = self.service.data();
        let id = data.next;
        data.next += 1;
        let body = with_id(id, &fields);
        data.things.insert(id, fields);
        let location = format!("{}/{id}", self.service.kind.base());
        Answer { header: Some((LOCATION, location)), ..Answer::of(StatusCode::CREATED, body) }
    }

    fn replace(&self, id: u64, fields: Map<String, Value>) -> Answer {
        let mut data = self.service.data();
        let Some(thing) = data.things.get_mut(&id) else { return self.missing(id) };
        *thing = fields;
        Answer::of(StatusCode::OK, with_id(id, thing))
    }

    fn delete(&self, id: u64) -> Answer {
        if self.service.data().things.remove(&id).is_none() {
            return self.missing(id);
        }
        Answer { status: StatusCode::NO_CONTENT, body: None, header: None }
    }

    fn missing(&self, id: u64) -> Answer {
        let one = self.service.kind.one();
        Answer::error(StatusCode::NOT_FOUND, format!("there is no {one} {id}"))
    }

    fn put_into_words(&self, answer: Answer) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::default());
        *response.status_mut() = answer.status;
        let headers = response.headers_mut();
        if let Ok(name) = HeaderValue::from_str(&self.name) {
            headers.insert("x-instance", name);
        }
        if let Some((name, value)) = answer.header
            && let Ok(value) = HeaderValue::from_str(&value)
        {
            headers.insert(name, value);
        }
        if let Some(mut body) = answer.body {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            // A document about the service is not about the instance.
            if body.get("openapi").is_none() {
                body["instance"] = self.name.as_str().into();
            }
            *response.body_mut() = Full::from(format!("{body}\n"));
        }
        response
    }
}

fn with_id(id: u64, thing: &Map<String, Value>) -> Value {
    let mut all = Map::new();
    all.insert("id".to_owned(), id.into());
    all.extend(thing.clone());
    Value::Object(all)
}

/// What the gateway told about the request, for the curious. The gateway's secret is not among it.
fn seen(headers: &HeaderMap) -> Value {
    let mut all = Map::new();
    for name in ["X-Consumer-Name", "X-Forwarded-For", "X-Gateway", "X-Request-Id"] {
        let value = headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
        all.insert(name.to_owned(), value.map_or(Value::Null, Value::from));
    }
    Value::Object(all)
}
