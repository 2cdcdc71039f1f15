//! What a person has named to be accepted or tried again at the start of a run. It is held against the file and the log
//! before the log is opened, or made, so that what cannot be right changes nothing.

use lastword::core::CollectionView;
use lastword::core::vocabulary::{Fingerprint, Name};

use crate::config::Config;
use crate::fail::{Fail, USAGE};
use crate::inspect::Inspected;

/// What is asked for.
pub(super) struct Wishes {
    pub(super) confirm: Vec<Fingerprint>,
    pub(super) refresh: Vec<Name>,
    pub(super) rebuild: Vec<Name>,
}

impl Wishes {
    /// Refuses what cannot be right, and a file whose names cannot be.
    pub(super) fn read(
        (confirm, refresh, rebuild): (&[String], &[String], &[String]),
        config: &Config,
    ) -> Result<Wishes, Fail> {
        let fingerprint = |text: &String| {
            let wrong = || Fail::new(USAGE, "--confirm: must be a fingerprint of 64 hexadecimal digits");
            Fingerprint::from_hex(text).ok_or_else(wrong)
        };
        let names = |flag: &str, names: &[String]| -> Result<Vec<Name>, Fail> {
            let read = |name: &String| Name::new(name).map_err(|error| Fail::new(USAGE, format!("{flag}: {error}")));
            names.iter().map(read).collect()
        };
        let wishes = Wishes {
            confirm: confirm.iter().map(fingerprint).collect::<Result<_, _>>()?,
            refresh: names("--refresh", refresh)?,
            rebuild: names("--rebuild", rebuild)?,
        };
        let mut named = wishes.refresh.iter().chain(&wishes.rebuild);
        let are_in_the_file = named.all(|name| config.get(name).is_some());
        if wishes.confirm.is_empty() && are_in_the_file && config.check_names(|_| false).is_ok() {
            return Ok(wishes);
        }
        // What cannot be looked at is told by its opening, and what is damaged is not yet what it will be.
        match Inspected::open_if_there(&config.state) {
            Ok(inspected) => wishes.check(config, inspected.as_ref()).map(|()| wishes),
            Err(_) => Ok(wishes),
        }
    }

    fn check(&self, config: &Config, inspected: Option<&Inspected>) -> Result<(), Fail> {
        let has = |name: &Name| inspected.is_some_and(|inspected| inspected.has(name));
        config.check_names(has)?;
        let mut named = self.refresh.iter().chain(&self.rebuild);
        if let Some(unknown) = named.find(|name| config.get(name).is_none() && !has(name)) {
            return Err(Fail::new(USAGE, format!("there is no collection {unknown:?}")));
        }
        let held = |inspected: &Inspected, wanted: &Fingerprint| {
            let ids = inspected.state.by_name().map(|(id, _)| id);
            let views = ids.filter_map(|id| CollectionView::of(&inspected.state, id, inspected.now));
            views.into_iter().any(|view| view.held().is_some_and(|(_, held)| held == *wanted))
        };
        let is_held = |wanted: &&Fingerprint| inspected.is_some_and(|inspected| held(inspected, wanted));
        match self.confirm.iter().find(|wanted| !is_held(wanted)) {
            Some(wanted) => Err(not_held(*wanted)),
            None => Ok(()),
        }
    }
}

pub(super) fn not_held(fingerprint: Fingerprint) -> Fail {
    Fail::new(USAGE, format!("--confirm: nothing is held under {fingerprint}"))
}
