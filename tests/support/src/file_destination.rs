//! A destination as a real one should be: a directory whose writers compare tokens.
//!
//! Attempts put their outputs into `outputs/`, each file under the token of its attempt. What readers see is one file
//! for each name below `live/`, which says which outputs are live, under which token, and of which incarnation. It is
//! replaced by a rename, under a lock that every process takes and that the kernel frees when its holder dies.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use lastword::core::vocabulary::{CollectionId, Epoch, Seq, Token};
use lastword::worker::{CommitView, DeliveryError, DiscardRequest, Failure, VerifyOutcome};

/// Clones, in this process or another, are the same destination.
#[derive(Clone, Debug)]
pub struct FileDestination {
    home: PathBuf,
}

/// What is live under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    /// The incarnation that it is of.
    pub collection: CollectionId,
    /// The highest token under which it was written.
    pub token: Token,
    /// What was written; nothing once the incarnation is gone.
    pub output: Option<String>,
}

/// A write that was refused.
#[derive(Debug)]
pub enum Refused {
    /// Something newer is live.
    Older { token: Token, live: Box<Live> },
    /// It was not tried, or nobody knows.
    Io(io::Error),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Older { token, live } => write!(f, "token {token} is refused: {live:?}"),
            Refused::Io(error) => error.fmt(f),
        }
    }
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Refused {
        Refused::Io(error)
    }
}

impl From<Refused> for DeliveryError {
    fn from(refused: Refused) -> DeliveryError {
        DeliveryError(refused.to_string())
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Failure {
        Failure::Transient(refused.to_string())
    }
}

impl FileDestination {
    pub fn at(home: &Path) -> FileDestination {
        fs::create_dir_all(home.join("outputs")).unwrap();
        fs::create_dir_all(home.join("live")).unwrap();
        FileDestination { home: home.to_owned() }
    }

    /// Makes one output of an attempt, and says what it is called.
    pub fn make(&self, token: Token, part: &str) -> io::Result<String> {
        let name = format!("{token}.{part}");
        fs::write(self.home.join("outputs").join(&name), format!("made by {token}"))?;
        Ok(name)
    }

    /// All outputs that are there.
    pub fn outputs(&self) -> BTreeSet<String> {
        let entries = fs::read_dir(self.home.join("outputs")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// Loses an output.
    pub fn lose(&self, output: &str) {
        fs::remove_file(self.home.join("outputs").join(output)).unwrap();
    }

    /// What is live under a name.
    pub fn live(&self, name: &str) -> Option<Live> {
        match fs::read_to_string(self.home.join("live").join(name)) {
            Ok(text) => Some(parsed(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// The outputs that are live under a name.
    pub fn live_outputs(&self, name: &str) -> BTreeSet<String> {
        self.live(name).and_then(|live| live.output).map(|output| parts(&output)).unwrap_or_default()
    }

    /// Makes an output live, unless something newer is.
    pub fn write(&self, name: &str, collection: CollectionId, token: Token, output: &str) -> Result<(), Refused> {
        let _lock = self.lock()?;
        match self.live(name) {
            // Not by the incarnation: after a restored backup a new one may have a lower number than one that was lost.
            Some(live) if live.token > token => Err(Refused::Older { token, live: Box::new(live) }),
            Some(live) if live.output.is_none() && live.collection >= collection => {
                Err(Refused::Older { token, live: Box::new(live) })
            }
            Some(_) | None => self.replace(name, &Live { collection, token, output: Some(output.to_owned()) }),
        }
    }

    pub fn publish(&self, publication: &CommitView<'_>) -> Result<(), DeliveryError> {
        let CommitView { name, collection, token, result, .. } = publication;
        let output = result.output.as_deref().unwrap_or_default();
        // What a restored log still owes may have been replaced, and its outputs discarded.
        if self.live(name.as_str()).is_some_and(|live| live.token > *token) {
            return Ok(());
        }
        for part in parts(output) {
            if !self.outputs().contains(&part) {
                return Err(DeliveryError(format!("{part} is not there")));
            }
        }
        match self.write(name.as_str(), *collection, *token, output) {
            Err(Refused::Older { live, .. }) if live.token > *token => Ok(()),
            done => Ok(done?),
        }
    }

    /// Removes what may go. What is gone already is fine.
    pub fn discard(&self, discarding: &DiscardRequest<'_>) -> Result<(), DeliveryError> {
        let of = |built: Option<&lastword::core::vocabulary::Built>| {
            built.and_then(|built| built.output.as_deref()).map(parts).unwrap_or_default()
        };
        let stay = of(discarding.after);
        let made = |output: &String| discarding.tokens.iter().any(|token| output.starts_with(&format!("{token}.")));
        let mut leave = of(discarding.before);
        leave.extend(self.outputs().into_iter().filter(made));
        if discarding.dropped {
            self.retire(discarding)?;
        }
        for output in leave.difference(&stay) {
            match fs::remove_file(self.home.join("outputs").join(output)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    pub fn verify(&self, verification: &CommitView<'_>) -> Result<VerifyOutcome, DeliveryError> {
        let live = self.live(verification.name.as_str());
        let is_live = live.as_ref().is_some_and(|live| {
            live.token == verification.token && live.output.as_deref() == verification.result.output.as_deref()
        });
        if !is_live {
            return Ok(VerifyOutcome::Drifted(format!("live is {live:?}")));
        }
        let (there, wanted) = (self.outputs(), self.live_outputs(verification.name.as_str()));
        Ok(match wanted.difference(&there).next() {
            Some(lost) => VerifyOutcome::Drifted(format!("{lost} is lost")),
            None => VerifyOutcome::Intact,
        })
    }

    /// Nothing of a dropped incarnation is live any more, and nothing of it ever will be.
    fn retire(&self, discarding: &DiscardRequest<'_>) -> Result<(), Refused> {
        let _lock = self.lock()?;
        let (name, collection) = (discarding.name.as_str(), discarding.collection);
        match self.live(name) {
            Some(live) if live.collection > collection => Ok(()),
            Some(live) => self.replace(name, &Live { collection, output: None, ..live }),
            None => {
                let never = Token { epoch: Epoch(0), seq: Seq(0) };
                self.replace(name, &Live { collection, token: never, output: None })
            }
        }
    }

    fn replace(&self, name: &str, live: &Live) -> Result<(), Refused> {
        let Live { collection, token, output } = live;
        let text = format!("{collection} {} {} {}", token.epoch, token.seq, output.as_deref().unwrap_or("-"));
        // Its writer holds the lock, so nobody else writes to it.
        let new = self.home.join("new");
        fs::write(&new, text)?;
        fs::rename(new, self.home.join("live").join(name))?;
        Ok(())
    }

    fn lock(&self) -> io::Result<File> {
        let lock = File::create(self.home.join("lock"))?;
        lock.lock()?;
        Ok(lock)
    }
}

/// The parts that an output names.
pub fn parts(output: &str) -> BTreeSet<String> {
    output.split(' ').filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

fn parsed(text: &str) -> Live {
    let mut words = text.splitn(4, ' ');
    let mut number = || words.next().unwrap().parse().unwrap();
    let (collection, epoch, seq) = (CollectionId(Seq(number())), Epoch(number()), Seq(number()));
    let output = words.next().unwrap();
    Live { collection, token: Token { epoch, seq }, output: (output != "-").then(|| output.to_owned()) }
}
