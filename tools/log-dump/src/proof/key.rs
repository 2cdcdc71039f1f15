//! Keys: ed25519, in files outside of the log, as the tools of signed notes write them.

use std::fmt;
use std::fs;
use std::io::Write;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{Signature, Signer, VerifyingKey};
use sha2::{Digest, Sha256};

use crate::fail::{Exit, Failure};
use crate::output::Output;
use crate::whole::Unfinished;

/// The type of a signature: Ed25519 over the text.
const ED25519: u8 = 1;

/// How a key that signs begins.
const PRIVATE: &str = "PRIVATE+KEY+";

/// A key that signs. Its text is not shown.
pub struct SigningKey {
    name: String,
    key: ed25519_dalek::SigningKey,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A key that tells whether another one has signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    pub(super) name: String,
    key: VerifyingKey,
}

impl SigningKey {
    /// The key in a file that `log-dump key new` has written.
    ///
    /// # Errors
    /// When it cannot be read, or is none.
    pub fn read(path: &Path) -> Result<SigningKey, Failure> {
        let text = fs::read_to_string(path).map_err(|error| Failure::io("reading", path, &error))?;
        let parsed = || {
            let (name, bytes) = parts(text.trim().strip_prefix(PRIVATE)?)?;
            let key = ed25519_dalek::SigningKey::from_bytes(&bytes);
            Some(SigningKey { name, key })
        };
        // What it says is not repeated.
        parsed().ok_or_else(|| Failure::new(Exit::USAGE, format_args!("{}: this is no key that signs", path.display())))
    }

    /// The line of a signature, without its end.
    pub(super) fn sign(&self, text: &str) -> String {
        let public = self.public();
        let signature = [&public.id()[..], &self.key.sign(text.as_bytes()).to_bytes()].concat();
        format!("\u{2014} {} {}", self.name, BASE64.encode(signature))
    }

    fn public(&self) -> PublicKey {
        PublicKey { name: self.name.clone(), key: self.key.verifying_key() }
    }
}

impl PublicKey {
    /// The key itself, or a file with it.
    ///
    /// # Errors
    /// When it is neither.
    pub fn read(given: &str) -> Result<PublicKey, Failure> {
        let text = fs::read_to_string(given).unwrap_or_else(|_| given.to_owned());
        PublicKey::parse(text.trim()).ok_or_else(|| {
            Failure::new(Exit::USAGE, format_args!("--public-key {given:?}: this is no key, and no file with one"))
        })
    }

    fn parse(text: &str) -> Option<PublicKey> {
        let (name, bytes) = parts(text)?;
        let key = PublicKey { name, key: VerifyingKey::from_bytes(&bytes).ok()? };
        (key.to_string() == text).then_some(key)
    }

    /// The first bytes of each signature.
    pub(super) fn id(&self) -> [u8; 4] {
        let hash = Sha256::new()
            .chain_update(self.name.as_bytes())
            .chain_update([b'\n', ED25519])
            .chain_update(self.key.as_bytes())
            .finalize();
        [hash[0], hash[1], hash[2], hash[3]]
    }

    pub(super) fn has_signed(&self, text: &str, signature: &[u8]) -> bool {
        Signature::from_slice(signature)
            .is_ok_and(|signature| self.key.verify_strict(text.as_bytes(), &signature).is_ok())
    }
}

/// `NAME+ID+KEY`, which is public.
impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = BASE64.encode([&[ED25519], &self.key.as_bytes()[..]].concat());
        write!(f, "{}+{}+{key}", self.name, hex(self.id()))
    }
}

fn hex(id: [u8; 4]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The name, and 32 bytes of a key of ours.
fn parts(text: &str) -> Option<(String, [u8; 32])> {
    let (name, rest) = text.split_once('+')?;
    let (_, key) = rest.split_once('+')?;
    let bytes = BASE64.decode(key).ok()?;
    let key = bytes.strip_prefix(&[ED25519])?.try_into().ok()?;
    is_name(name).then(|| (name.to_owned(), key))
}

pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+')
}

/// `key new`: makes a key in a file of its own, and prints the public one.
pub(crate) fn new(path: &Path, name: &str) -> Result<(), Failure> {
    if !is_name(name) {
        return Err(Failure::new(
            Exit::USAGE,
            format_args!("--name {name:?}: a name is not empty, and has no space and no +"),
        ));
    }
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)
        .map_err(|error| Failure::new(Exit::CANNOT_OPEN, format_args!("no random bytes: {error}")))?;
    let key = SigningKey { name: name.to_owned(), key: ed25519_dalek::SigningKey::from_bytes(&seed) };
    let public = key.public();
    let secret = BASE64.encode([&[ED25519], &seed[..]].concat());
    let text = format!("{PRIVATE}{name}+{}+{secret}\n", hex(public.id()));
    let written = Unfinished::beside(path, 0o600).and_then(|mut unfinished| {
        unfinished.file.write_all(text.as_bytes())?;
        unfinished.put_new()
    });
    written.map_err(|error| Failure::io("creating", path, &error))?;
    let mut output = Output::new();
    output.line(&public.to_string())?;
    output.finish()
}
