//! The set that a scan finds, while it finds it. It must not know how a file is judged.

use super::packed::{PackedFile, Packing};
use super::{Listing, PathSet};

/// A set in the making: the known one for as long as nothing differs from it, so that no file is copied if nothing does.
pub(super) struct NextSet<'a> {
    known: Option<&'a PathSet>,
    /// So many files are the first of the known set.
    same: usize,
    /// All of them, as soon as one is not.
    packing: Option<Packing>,
    /// Files of the listing, and the bytes of their paths.
    of: (usize, usize),
}

impl<'a> NextSet<'a> {
    pub(super) fn new(listing: &Listing, known: Option<&'a PathSet>) -> NextSet<'a> {
        let of = (listing.len(), listing.iter().map(|(path, _)| path.0.len()).sum());
        NextSet { known, same: 0, packing: None, of }
    }

    /// Adds a file as the known set has it, at this place.
    pub(super) fn add_known(&mut self, (place, held): (usize, PackedFile<'_>)) {
        if self.packing.is_none() && place == self.same {
            self.same += 1;
        } else {
            self.packing().add_packed(held);
        }
    }

    pub(super) fn packing(&mut self) -> &mut Packing {
        let (known, same, (files, paths)) = (self.known, self.same, self.of);
        self.packing.get_or_insert_with(|| match known {
            Some(known) if same > 0 => known.packed().first(same, files.saturating_sub(same)),
            _ => Packing::for_files(files, paths),
        })
    }

    pub(super) fn into_set(mut self) -> PathSet {
        match self.known.filter(|known| self.packing.is_none() && self.same == known.len()) {
            Some(known) => known.clone(),
            None => {
                self.packing();
                PathSet::of(self.packing.unwrap_or_default().done())
            }
        }
    }
}
