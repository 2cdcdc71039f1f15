//! Makes the log follow the file: declares what is in it, pauses what is gone from it, resumes what came back.
//!
//! Everything that can be refused is found before anything is given, so a file that contradicts the log changes
//! nothing. One refusal cannot be foreseen: with `on_change = "reject"` a task may begin between the check and the
//! declaration. Then that declaration alone is refused, and said so.

use std::collections::{BTreeMap, BTreeSet};

use lastword::Handle;
use lastword::core::CollectionView;
use lastword::core::vocabulary::{By, Command, Declaration, Name, OnChange, Rejection};
use lastword::engine::{CollectionStatus, MOST_BYTES_IN_BATCH, MOST_IN_BATCH};
use serde_json::json;

use crate::config::{Config, Entry, KIND};
use crate::console::{note, quoted};
use crate::control::{GONE_FROM, Gone, Unmanaged, as_asked, because_of};
use crate::door::Answer;
use crate::fail::{Fail, USAGE};
use crate::words::command;

/// What became of a file.
#[derive(Debug, Default)]
pub(crate) struct Adopted {
    /// Commands that changed something: declarations, limits, resumes.
    changed: usize,
    /// Paused because they are gone.
    paused: Vec<Name>,
    /// Resumed because they came back.
    resumed: Vec<Name>,
    /// Gone as well, and paused before.
    were_paused: Vec<Name>,
}

/// Brings the log to what the file says, as `asked`.
pub(crate) fn adopt(handle: &Handle, config: &Config, unmanaged: &mut Unmanaged, asked: &By) -> Result<Adopted, Fail> {
    let list = handle.list()?;
    let declarations = declarations(config, &list)?;
    let managed: BTreeSet<Name> = config.names().collect();
    // What is of another kind was never in a file, and belongs to another program.
    let ours = list.iter().map(|status| &status.view).filter(|view| view.kind.as_str() == KIND);
    let (here, gone): (Vec<&CollectionView>, Vec<&CollectionView>) =
        ours.partition(|view| managed.contains(&view.name));
    let returns = |view: &&CollectionView| unmanaged.get(&view.name, view.id).is_some_and(|gone| gone.resumes);
    let returned: Vec<&CollectionView> = here.into_iter().filter(returns).collect();

    let after = entries(config, &gone, unmanaged);
    // See `control::gone`: written before the pause, and removed after the resume.
    let returning =
        returned.iter().filter_map(|view| Some((view.name.clone(), unmanaged.get(&view.name, view.id)?.clone())));
    unmanaged.replace(after.clone().into_iter().chain(returning).collect())?;

    let mut adopted = Adopted::default();
    let resumes = returned.iter().map(|view| Command::Resume { name: view.name.clone() });
    let declares = declarations.into_iter().map(|declared| Command::Declare(Box::new(declared)));
    // Without [limits] there are none: what the file does not say is not to be left over from what it said before.
    let limits = Command::Limit(config.limits.clone());
    let because = |what| because_of(asked.actor().unwrap_or("cli"), what, &config.file);
    let declared = if asked.cause().is_some() { asked.clone() } else { because("declared in")? };
    adopted.changed =
        give(&as_asked(handle, &declared), config, [limits].into_iter().chain(declares).chain(resumes).collect())?;
    adopted.resumed = returned.iter().filter(|view| view.paused).map(|view| view.name.clone()).collect();
    unmanaged.replace(after)?;

    let (paused, running): (Vec<&CollectionView>, Vec<&CollectionView>) =
        gone.into_iter().partition(|view| view.paused);
    let pauses = running.iter().map(|view| Command::Pause { name: view.name.clone() });
    give(&as_asked(handle, &because(GONE_FROM)?), config, pauses.collect())?;
    adopted.paused = running.into_iter().map(|view| view.name.clone()).collect();
    adopted.were_paused = paused.into_iter().map(|view| view.name.clone()).collect();
    Ok(adopted)
}

impl Adopted {
    /// Says what a person has to know.
    pub(crate) fn tell(&self, config: &Config) {
        let file = quoted(&config.file);
        for name in &self.paused {
            let drop = command("drop", &config.state, name.as_str());
            note(&format!(
                "{name} is gone from {file}: unmanaged, and paused until it comes back; \
                 {drop} drops it"
            ));
        }
        if !self.were_paused.is_empty() {
            note(&format!("unmanaged and paused, because not in {file}: {}", some(&self.were_paused)));
        }
        for name in &self.resumed {
            note(&format!("{name} is back in {file} and goes on"));
        }
    }

    pub(crate) fn answer(&self) -> Answer {
        let names = |names: &[Name]| names.iter().map(|name| json!(name.as_str())).collect::<Vec<_>>();
        let unmanaged: Vec<_> = [&self.paused, &self.were_paused].into_iter().flat_map(|some| names(some)).collect();
        Answer::new(json!({
            "changed": self.changed,
            "paused": names(&self.paused),
            "resumed": names(&self.resumed),
            "unmanaged": unmanaged,
        }))
    }
}

/// As many names as fit a line.
fn some(names: &[Name]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<&str> = names.iter().take(SHOWN).map(Name::as_str).collect();
    let more = names.len().saturating_sub(SHOWN);
    if more == 0 { shown.join(", ") } else { format!("{} and {more} more", shown.join(", ")) }
}

/// The list of what is gone, as it is to be.
fn entries(config: &Config, gone: &[&CollectionView], unmanaged: &Unmanaged) -> BTreeMap<Name, Gone> {
    let entry = |view: &&CollectionView| {
        let known = unmanaged.get(&view.name, view.id);
        // What is paused already and was not by us stays so when it comes back.
        let resumes = !view.paused || known.is_some_and(|known| known.resumes);
        let file = known.map_or_else(|| config.file.display().to_string(), |known| known.file.clone());
        (view.name.clone(), Gone { id: view.id, file, resumes })
    };
    gone.iter().map(entry).collect()
}

/// The declarations of a file, none of which contradicts the log.
fn declarations(config: &Config, list: &[CollectionStatus]) -> Result<Vec<Declaration>, Fail> {
    let known: BTreeMap<&Name, &CollectionView> = list.iter().map(|status| (&status.view.name, &status.view)).collect();
    config.check_names(|name| known.contains_key(name))?;
    let declare = |entry: &Entry| {
        let declaration = entry.declaration()?;
        let contradiction = known.get(&entry.name).and_then(|view| contradiction(view, &declaration));
        contradiction.map_or(Ok(declaration), |problem| Err(config.wrong(entry, &problem)))
    };
    config.collections.iter().map(declare).collect()
}

/// Why the log would refuse a declaration.
fn contradiction(view: &CollectionView, declaration: &Declaration) -> Option<String> {
    let fixed = |field: &str, found: &dyn std::fmt::Debug| {
        format!("{field}: is {found:?} in the log and cannot be changed; drop the collection and declare it again")
    };
    if declaration.kind.as_ref().is_some_and(|kind| *kind != view.kind) {
        return Some(fixed("kind", &view.kind));
    }
    if declaration.versioned.is_some_and(|versioned| versioned != view.versioned) {
        return Some(fixed("versioned", &view.versioned));
    }
    let rejects = declaration.policy.as_ref().is_some_and(|policy| policy.on_change == OnChange::Reject);
    let changes = declaration.source.as_ref().is_some_and(|source| *source != view.source)
        || declaration.spec.as_ref().is_some_and(|spec| *spec != view.spec);
    let refused = rejects && changes && view.task.is_some() && view.held().is_none();
    refused.then(|| Rejection::TaskIsLive { task: view.task }.to_string())
}

/// Gives commands in as few batches as hold them, and counts those that changed something. What is refused is
/// reported when the rest is done.
fn give(handle: &Handle, config: &Config, commands: Vec<Command>) -> Result<usize, Fail> {
    let (mut changed, mut refused) = (0, None);
    for batch in batches(commands) {
        let names: Vec<Option<Name>> = batch.iter().map(|command| command.name().cloned()).collect();
        for (name, verdict) in names.into_iter().zip(handle.batch(batch)?) {
            match verdict {
                Ok(receipt) => changed += usize::from(receipt.seq.is_some()),
                // Dropped a moment ago, by a command.
                Err(Rejection::UnknownCollection(_)) => {}
                Err(rejection) => {
                    let entry = name.and_then(|name| config.get(&name));
                    let fail = entry.map(|entry| config.wrong(entry, &rejection.to_string()));
                    refused.get_or_insert(fail.unwrap_or_else(|| Fail::new(USAGE, rejection.to_string())));
                }
            }
        }
    }
    refused.map_or(Ok(changed), Err)
}

/// Splits commands into batches that the engine takes.
fn batches(commands: Vec<Command>) -> Vec<Vec<Command>> {
    let mut batches: Vec<Vec<Command>> = Vec::new();
    let mut bytes = 0;
    for command in commands {
        let size = size(&command);
        let last =
            batches.last_mut().filter(|batch| batch.len() < MOST_IN_BATCH && bytes + size <= MOST_BYTES_IN_BATCH);
        match last {
            Some(batch) => batch.push(command),
            None => {
                bytes = 0;
                batches.push(vec![command]);
            }
        }
        bytes += size;
    }
    batches
}

fn size(command: &Command) -> usize {
    let Command::Declare(declaration) = command else { return 0 };
    let source = declaration.source.as_ref().map_or(0, |source| source.as_str().len());
    source + declaration.spec.as_ref().map_or(0, |spec| spec.as_str().len())
}
