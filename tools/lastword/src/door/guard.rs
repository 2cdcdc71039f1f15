//! Who may ask what: over the socket its owner, over TCP who reads on this machine, or who has the token. It must not know
//! what is answered.

use std::fs::File;
use std::hint::black_box;
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HOST, HeaderName, ORIGIN};
use hyper::http::uri::Authority;

use super::limits::{LONGEST_TOKEN, SHORTEST_TOKEN};
use super::refusal::Refusal;
use super::routes::Route;
use crate::answering::read_named;
use crate::fail::{Fail, USAGE};

/// Where a request came in.
pub(super) enum Entrance {
    /// The socket, which only its owner can reach.
    Socket,
    Tcp {
        token: Option<Token>,
    },
}

/// What who asks over TCP has to know.
pub(crate) struct Token(Vec<u8>);

/// `--http-token`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TokenFrom {
    Variable(String),
    File(PathBuf),
}

/// `env:NAME` or `file:PATH`.
pub(crate) fn token_from(text: &str) -> Result<TokenFrom, String> {
    match text.split_once(':') {
        Some(("env", name)) if !name.is_empty() => Ok(TokenFrom::Variable(name.to_owned())),
        Some(("file", path)) if !path.is_empty() => Ok(TokenFrom::File(path.into())),
        // The token itself would be seen by everybody who lists processes.
        _ => Err("must be env:NAME or file:PATH, where the token is".to_owned()),
    }
}

impl TokenFrom {
    /// Reads it; white space around it is not part of it.
    pub(crate) fn read(&self) -> Result<Token, Fail> {
        let (named, text) = match self {
            TokenFrom::Variable(name) => {
                let absent =
                    || Fail::new(USAGE, format!("--http-token: {name} is not set in the environment, or no text"));
                (format!("{name} of the environment"), std::env::var(name).map_err(|_| absent())?)
            }
            TokenFrom::File(path) => {
                let named = path.display().to_string();
                let read = |path: &Path| {
                    let mut text = String::new();
                    File::open(path)?.take(LONGEST_TOKEN as u64 + 1).read_to_string(&mut text)?;
                    Ok(text)
                };
                let failed = |error: io::Error| Fail::io(path.display(), &error);
                let text = read_named(path, move |path| Ok(read(path)))?.map_err(failed)?;
                (named, if text.len() > LONGEST_TOKEN { String::new() } else { text })
            }
        };
        let token = text.trim();
        let is_plain = token.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_plain || !(SHORTEST_TOKEN..=LONGEST_TOKEN).contains(&token.len()) {
            let problem = format!("a token has {SHORTEST_TOKEN} to {LONGEST_TOKEN} characters of ASCII without spaces");
            return Err(Fail::new(USAGE, format!("--http-token: {named}: {problem}")));
        }
        Ok(Token(token.as_bytes().to_vec()))
    }
}

impl Token {
    /// Whether it is this one, in a time that does not tell how much of it is right.
    fn is(&self, given: &[u8]) -> bool {
        let differs = self.0.iter().zip(given).fold(0, |differs, (a, b)| black_box(differs | (a ^ b)));
        self.0.len() == given.len() && differs == 0
    }
}

/// Nothing without a token that others than this machine can reach.
pub(crate) fn check_address(address: SocketAddr, token: Option<&Token>) -> Result<(), Fail> {
    if address.ip().is_loopback() || token.is_some() {
        return Ok(());
    }
    let problem = format!("--http: {address} can be reached by other machines; that takes a token (--http-token)");
    Err(Fail::new(USAGE, problem))
}

impl Entrance {
    /// Whether a request may be fulfilled, from what its headers say.
    pub(super) fn admit(&self, route: &Route, headers: &HeaderMap) -> Result<(), Refusal> {
        let Entrance::Tcp { token } = self else { return Ok(()) };
        let host = text(headers, HOST).ok_or_else(|| wrong_host("a request names its host"))?;
        check_host(host, token.is_some())?;
        check_origin(host, headers)?;
        match token {
            Some(token) if !route.is_open => check_token(token, headers),
            None if route.method != "GET" => {
                let problem = "over TCP a run is only read, unless it was started with --http-token";
                Err(Refusal::new("forbidden", USAGE, problem))
            }
            Some(_) | None => Ok(()),
        }
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut all = headers.get_all(name).iter();
    // Of two it is not known which one is meant.
    all.next().filter(|_| all.next().is_none())?.to_str().ok()
}

fn wrong_host(problem: &str) -> Refusal {
    Refusal { field: Some("host".to_owned()), ..Refusal::new("wrong_host", USAGE, problem) }
}

/// A page of another site can have its own name lead to this address; it then asks in that name, and never in that of an
/// address. With a token, which such a page does not have, any name will do.
fn check_host(host: &str, has_token: bool) -> Result<(), Refusal> {
    let authority: Authority = host.parse().map_err(|_| wrong_host("host: is none"))?;
    let name = authority.host();
    let is_address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok();
    if is_address || name.eq_ignore_ascii_case("localhost") || has_token {
        return Ok(());
    }
    Err(wrong_host("host: must be localhost, or an address"))
}

/// A page of another site says whose it is.
fn check_origin(host: &str, headers: &HeaderMap) -> Result<(), Refusal> {
    let is_own = |origin: &str| {
        let name = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        name.is_some_and(|name| name.eq_ignore_ascii_case(host))
    };
    let origin_is_own = !headers.contains_key(ORIGIN) || text(headers, ORIGIN).is_some_and(is_own);
    let site = HeaderName::from_static("sec-fetch-site");
    let site_is_own =
        !headers.contains_key(&site) || text(headers, site).is_some_and(|site| ["same-origin", "none"].contains(&site));
    if origin_is_own && site_is_own {
        return Ok(());
    }
    let refusal = Refusal::new("forbidden", USAGE, "origin: a page of another site asks nothing here");
    Err(Refusal { field: Some("origin".to_owned()), ..refusal })
}

fn check_token(token: &Token, headers: &HeaderMap) -> Result<(), Refusal> {
    let given = text(headers, AUTHORIZATION).and_then(|given| given.split_once(' '));
    match given {
        Some((scheme, given)) if scheme.eq_ignore_ascii_case("bearer") && token.is(given.trim().as_bytes()) => Ok(()),
        _ => Err(Refusal::new(
            "token_missing",
            USAGE,
            "this takes the header Authorization: Bearer TOKEN, with its token",
        )),
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::super::routes::{ALIVE, LIST, PAUSE};
    use super::*;

    fn admitted(entrance: &Entrance, route: &Route, headers: &[(&'static str, &'static str)]) -> Result<(), u16> {
        let headers =
            headers.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        entrance.admit(route, &headers.collect()).map_err(|refusal| refusal.status)
    }

    #[test]
    fn without_a_token_only_this_machine_reads_and_no_page_of_another_site() {
        let tcp = Entrance::Tcp { token: None };
        for host in ["127.0.0.1:80", "[::1]:80", "localhost", "LOCALHOST:1", "10.1.2.3"] {
            assert_eq!(admitted(&tcp, &LIST, &[("host", host)]), Ok(()), "{host}");
            assert_eq!(admitted(&tcp, &PAUSE, &[("host", host)]), Err(403), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "", "a b", "[::1"] {
            assert_eq!(admitted(&tcp, &LIST, &[("host", host)]), Err(421), "{host}");
        }
        assert_eq!(admitted(&tcp, &LIST, &[]), Err(421));
        let own = [("host", "127.0.0.1:80"), ("origin", "http://127.0.0.1:80")];
        assert_eq!(admitted(&tcp, &LIST, &own), Ok(()));
        for origin in ["http://127.0.0.1:81", "http://evil.example", "null", "127.0.0.1:80", ""] {
            assert_eq!(admitted(&tcp, &LIST, &[("host", "127.0.0.1:80"), ("origin", origin)]), Err(403), "{origin}");
        }
        for (site, is_own) in [("same-origin", true), ("none", true), ("cross-site", false), ("same-site", false)] {
            let found = admitted(&tcp, &LIST, &[("host", "localhost"), ("sec-fetch-site", site)]);
            assert_eq!(found.is_ok(), is_own, "{site}");
        }
    }

    #[test]
    fn with_a_token_everything_takes_it_but_whether_the_run_is_well() {
        let tcp = Entrance::Tcp { token: Some(Token(b"0123456789abcdef".to_vec())) };
        let host = ("host", "lake.example");
        assert_eq!(admitted(&tcp, &ALIVE, &[host]), Ok(()));
        for route in [&LIST, &PAUSE] {
            assert_eq!(admitted(&tcp, route, &[host]), Err(401));
            let right = [host, ("authorization", "Bearer 0123456789abcdef")];
            assert_eq!(admitted(&tcp, route, &right), Ok(()));
            for wrong in [
                "",
                "Bearer",
                "Bearer ",
                "Bearer 0123456789abcde",
                "Bearer 0123456789abcdeg",
                "Bearer 0123456789abcdef0",
                "Basic 0123456789abcdef",
            ] {
                assert_eq!(admitted(&tcp, route, &[host, ("authorization", wrong)]), Err(401), "{wrong}");
            }
            assert_eq!(admitted(&tcp, route, &[right[0], right[1], ("origin", "http://evil.example")]), Err(403));
        }
    }

    #[test]
    fn what_others_reach_takes_a_token() {
        let token = Token(Vec::new());
        for (address, is_free) in
            [("127.0.0.1:0", true), ("[::1]:0", true), ("0.0.0.0:0", false), ("10.0.0.1:80", false)]
        {
            let address = address.parse().unwrap();
            assert_eq!(check_address(address, None).is_ok(), is_free, "{address}");
            assert!(check_address(address, Some(&token)).is_ok());
        }
    }

    #[test]
    fn a_token_is_named_and_never_said() {
        assert_eq!(token_from("env:A"), Ok(TokenFrom::Variable("A".to_owned())));
        assert_eq!(token_from("file:/a:b"), Ok(TokenFrom::File("/a:b".into())));
        for text in ["", "0123456789abcdef", "env:", "file:", "A"] {
            assert!(token_from(text).is_err(), "{text}");
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            TokenFrom::File(path.clone()).read()
        };
        assert!(read(" 0123456789abcdef\n").unwrap().is(b"0123456789abcdef"));
        for text in ["", "0123456789abcde", "0123456789 abcdef", &"x".repeat(5000)] {
            let fail = read(text).map(drop).unwrap_err();
            assert!(fail.code == USAGE && !fail.message.contains("0123456789"), "{fail}");
        }
    }
}
