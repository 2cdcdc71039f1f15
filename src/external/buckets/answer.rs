//! What a store answers to a listing, read before the `object_store` crate reads it: that crate takes whatever has the form of
//! XML for a listing, at worst for an empty one, and a page that does not say where it goes on for the last one. It must not
//! know what is listed for, and repeats nothing of an answer.
//!
//! *Architecture invariant:* every answer with a status of success to the request for a page passes [`checked`], and who reads
//! the page finds [`Answered`] in its extensions: without it no page is believed.

use std::io;

use object_store::client::{HttpError, HttpErrorKind, HttpRequest, HttpResponse};
use quick_xml::events::Event;
use serde::Deserialize;

/// What a page says, as it says it: the crate leaves out slashes of keys, and entries.
#[derive(Clone, Debug)]
pub(super) struct Answered {
    /// All keys, in the order of the page.
    pub(super) keys: Vec<String>,
    /// The first that ends with a slash and has bytes.
    pub(super) slashed: Option<String>,
}

impl Answered {
    fn new(entries: impl Iterator<Item = (String, Option<String>)>) -> Answered {
        let mut answered = Answered { keys: Vec::new(), slashed: None };
        for (key, size) in entries {
            if answered.slashed.is_none() && key.ends_with('/') && size.as_deref().map(str::trim) != Some("0") {
                answered.slashed = Some(key.clone());
            }
            answered.keys.push(key);
        }
        answered
    }
}

/// Why an answer to a listing is not a page of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// Something else, with a status of success.
    NoListing,
    /// There is more, and no way to ask for it.
    NoPlace,
}

impl Unfit {
    const ALL: [Unfit; 2] = [Unfit::NoListing, Unfit::NoPlace];

    /// What a person is told.
    pub(super) fn words(self) -> &'static str {
        match self {
            Unfit::NoListing => {
                "the answer to a listing is no listing, though its status is one of success: something answers there that \
                 is no object store, as a proxy, a login page or another service; check the endpoint"
            }
            Unfit::NoPlace => {
                "a page of its listing says that there is more and not where it goes on, so the rest cannot be asked for: the \
                 store does not know listings of version 2"
            }
        }
    }

    /// As it goes through the `object_store` crate, which takes errors only.
    fn error(self) -> HttpError {
        HttpError::new(HttpErrorKind::Decode, io::Error::other(self.words()))
    }

    /// What went through it.
    pub(super) fn of(error: &io::Error) -> Option<Unfit> {
        let text = error.to_string();
        Unfit::ALL.into_iter().find(|unfit| unfit.words() == text)
    }
}

/// The protocols of pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// That of S3, which Google speaks as well.
    S3,
    Azure,
}

/// Whether a request asks for a page of a listing, and how.
pub(super) fn asks_for_page(request: &HttpRequest) -> Option<Protocol> {
    let mut pairs = request.uri().query().unwrap_or_default().split('&');
    let found = pairs.find_map(|pair| match pair {
        "list-type=2" => Some(Protocol::S3),
        "comp=list" => Some(Protocol::Azure),
        _ => None,
    });
    found.filter(|_| request.method().as_str() == "GET")
}

/// Reads a page to its end and hands it on, with what it says.
pub(super) async fn checked(answer: HttpResponse, protocol: Protocol) -> Result<HttpResponse, HttpError> {
    let (mut parts, body) = answer.into_parts();
    // A page that is cut off is not asked for again here: the next look does.
    let body = body.bytes().await.map_err(|error| HttpError::new(HttpErrorKind::Decode, error))?;
    let answered = read(&body, protocol).map_err(Unfit::error)?;
    parts.extensions.insert(answered);
    Ok(HttpResponse::from_parts(parts, body.into()))
}

/// The parts of a page of S3 that tell whether it is one. The others are read by the crate.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct S3Page {
    is_truncated: bool,
    next_continuation_token: Option<String>,
    #[serde(default)]
    contents: Vec<Contents>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Contents {
    key: String,
    size: Option<String>,
}

/// The same of Azure: the end is that no marker, or an empty one, follows.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AzurePage {
    blobs: Blobs,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Blobs {
    #[serde(default)]
    blob: Vec<Blob>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Blob {
    name: String,
    properties: Option<Properties>,
}

#[derive(Deserialize)]
struct Properties {
    #[serde(rename = "Content-Length")]
    size: Option<String>,
}

fn read(body: &[u8], protocol: Protocol) -> Result<Answered, Unfit> {
    let root: &[u8] = match protocol {
        Protocol::S3 => b"ListBucketResult",
        Protocol::Azure => b"EnumerationResults",
    };
    if !begins_with(root, body) {
        return Err(Unfit::NoListing);
    }
    Ok(match protocol {
        Protocol::S3 => {
            let page: S3Page = quick_xml::de::from_reader(body).map_err(|_| Unfit::NoListing)?;
            if page.is_truncated && page.next_continuation_token.is_none_or(|token| token.is_empty()) {
                return Err(Unfit::NoPlace);
            }
            Answered::new(page.contents.into_iter().map(|found| (found.key, found.size)))
        }
        Protocol::Azure => {
            let page: AzurePage = quick_xml::de::from_reader(body).map_err(|_| Unfit::NoListing)?;
            let size = |properties: Option<Properties>| properties.and_then(|properties| properties.size);
            Answered::new(page.blobs.blob.into_iter().map(|blob| (blob.name, size(blob.properties))))
        }
    })
}

/// Whether the first element has this name.
fn begins_with(root: &[u8], body: &[u8]) -> bool {
    let mut reader = quick_xml::Reader::from_reader(body);
    loop {
        match reader.read_event() {
            Ok(Event::Start(first) | Event::Empty(first)) => return first.local_name().as_ref() == root,
            Ok(Event::Decl(_) | Event::Comment(_) | Event::PI(_)) => {}
            Ok(Event::Text(text)) if text.iter().all(u8::is_ascii_whitespace) => {}
            Ok(_) | Err(_) => return false,
        }
    }
}
